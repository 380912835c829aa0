import { z } from 'zod';
import { roleSchema } from './access';
import { idSchema, timeSchema } from './ids';

export const emailSchema = z.email().max(254);
const passwordSchema = z.string().min(12).max(200).describe('At least 12 characters.');
const personNameSchema = z.string().trim().min(1).max(100);

/** Somebody in a team: a person who signs in, or a service account, which has keys only. */
export const memberSchema = z.object({
  id: idSchema('user'),
  /** null: a service account. */
  email: z.string().nullable(),
  name: z.string(),
  role: roleSchema,
  isService: z.boolean(),
  /** Since when in the team. */
  createdAt: timeSchema,
});
export type Member = z.infer<typeof memberSchema>;
export const changeMemberSchema = z.strictObject({ role: roleSchema });
export const createServiceAccountSchema = z.strictObject({
  name: personNameSchema,
  role: roleSchema.default('member'),
});
export type CreateServiceAccount = z.infer<typeof createServiceAccountSchema>;

/** A way into a team for one address, open once and for a while. */
export const invitationSchema = z.object({
  id: idSchema('invitation'),
  email: z.string(),
  role: roleSchema,
  createdAt: timeSchema,
  expiresAt: timeSchema,
  acceptedAt: timeSchema.nullable(),
});
export type Invitation = z.infer<typeof invitationSchema>;
export const createInvitationSchema = z.strictObject({
  email: emailSchema,
  role: roleSchema.default('member'),
  expiresInHours: z.int().min(1).max(720).default(72),
});
export type CreateInvitation = z.infer<typeof createInvitationSchema>;
/** `token` is shown this once; only its SHA-256 is stored. */
export const createdInvitationSchema = invitationSchema.extend({ token: z.string() });
export const acceptInvitationSchema = z.strictObject({
  token: z.string().max(100),
  name: personNameSchema.optional().describe('For whom has no account yet.'),
  password: passwordSchema.describe("A new one, or that of the address's account if there is one."),
});
export type AcceptInvitation = z.infer<typeof acceptInvitationSchema>;

export const signInSchema = z.strictObject({ email: emailSchema, password: z.string().max(200) });
export type SignIn = z.infer<typeof signInSchema>;
export const changePasswordSchema = z.strictObject({
  current: z.string().max(200),
  password: passwordSchema,
});
export type ChangePassword = z.infer<typeof changePasswordSchema>;
/** `token` is shown this once; only its SHA-256 is stored. */
export const createdPasswordResetSchema = z.object({ token: z.string(), expiresAt: timeSchema });
export type CreatedPasswordReset = z.infer<typeof createdPasswordResetSchema>;
export const usePasswordResetSchema = z.strictObject({
  token: z.string().max(100),
  password: passwordSchema,
});
export type UsePasswordReset = z.infer<typeof usePasswordResetSchema>;
export const chooseTeamSchema = z.strictObject({
  team: z.string().min(1).max(200).describe('Name or id of a team that you are in.'),
});

export const signInWithKeySchema = z.strictObject({ key: z.string().min(1).max(200) });

/** Who has signed in, and the team that their requests are about. */
export const sessionSchema = z.object({
  /** null: it was begun with an API key. */
  user: z.object({ id: idSchema('user'), email: z.string(), name: z.string() }).nullable(),
  /** The API key that it was begun with; null: with a password. */
  key: z.object({ id: idSchema('apiKey'), name: z.string() }).nullable(),
  teamId: idSchema('team'),
  teams: z.array(z.object({ id: idSchema('team'), name: z.string(), role: roleSchema })),
  expiresAt: timeSchema,
});
export type Session = z.infer<typeof sessionSchema>;

/** One of the sessions of an account, or of the API key that they were begun with. */
export const ownSessionSchema = z.object({
  id: idSchema('session'),
  createdAt: timeSchema,
  usedAt: timeSchema.describe('When it was last used, to within five minutes.'),
  expiresAt: timeSchema,
  address: z.string().nullable().describe('Where it was begun; null: before that was kept.'),
  userAgent: z.string().nullable().describe('What it was begun with, as that says of itself.'),
  isCurrent: z.boolean().describe('Whether it is the one that asks.'),
});
export type OwnSession = z.infer<typeof ownSessionSchema>;
