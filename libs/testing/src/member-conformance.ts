import { type Role } from '@lowrank/contracts';
import { randomIds, type UserRecord } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import { codeOf } from './object-store-conformance';
import { seedTeam, type SeededTeam } from './seed';

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
let made = 0;

/** The part of unitOfWorkConformance on members, their sessions, and invitations. */
export function memberConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  describe('people', () => {
    let other: SeededTeam;
    beforeEach(async () => {
      ({ unitOfWork, run, crew } = seeded());
      other = await seedTeam(unitOfWork, 'other');
    });
    const addUser = async (overrides: Partial<UserRecord> = {}): Promise<UserRecord> => {
      const id = randomIds.make('user');
      const email = `ann${++made}@example.org`;
      const user = {
        id,
        email,
        name: 'Ann',
        passwordHash: 'h',
        isService: false,
        createdAt: at(0),
        ...overrides,
      };
      await run(({ members }) => members.insertUser(user));
      return user;
    };
    const join = (team: SeededTeam, { id }: UserRecord, role: Role, second: number) =>
      run(({ members }) => members.add(team.id, { userId: id, role, at: at(second) }));

    describe('members', () => {
      it('are users in teams, the longest first, and show no password', async () => {
        const ann = await addUser();
        const robot = await addUser({ email: null, passwordHash: null, isService: true, name: 'ci' });
        await join(other, ann, 'owner', 1);
        await join(crew, robot, 'member', 2);
        await join(crew, ann, 'viewer', 3);
        expect(await run(({ members }) => members.userByEmail(ann.email ?? ''))).toEqual(ann);
        expect(await run(({ members }) => members.user(robot.id))).toEqual(robot);
        expect(await run(({ members }) => members.userByEmail('nobody@example.org'))).toBeNull();
        const seen = {
          id: ann.id,
          email: ann.email,
          name: 'Ann',
          isService: false,
          role: 'viewer',
          createdAt: at(3),
        };
        const listed = await unitOfWork.forTeam(crew.id).look(({ members }) => members.list(crew.id));
        expect(listed).toEqual([
          expect.objectContaining({ id: robot.id, isService: true, email: null }),
          seen,
        ]);
        expect(await run(({ members }) => members.find(crew.id, ann.id))).toEqual(seen);
        expect(await run(({ members }) => members.find(other.id, robot.id))).toBeNull();
        expect(await run(({ members }) => members.teamsOf(ann.id))).toEqual([
          { id: other.id, name: 'other', role: 'owner', operator: false },
          { id: crew.id, name: 'crew', role: 'viewer', operator: true },
        ]);
      });

      it('are in a team once, have an address alone, change roles and leave', async () => {
        const ann = await addUser();
        await join(crew, ann, 'viewer', 1);
        await join(other, ann, 'viewer', 1);
        expect(await codeOf(join(crew, ann, 'owner', 2))).toBe('conflict');
        expect(await codeOf(addUser({ email: ann.email }))).toBe('conflict');
        await run(({ members }) => members.change(crew.id, ann.id, 'admin'));
        expect(await run(({ members }) => members.find(crew.id, ann.id))).toMatchObject({ role: 'admin' });
        expect(await run(({ members }) => members.find(other.id, ann.id))).toMatchObject({ role: 'viewer' });
        await run(({ members }) => members.setPassword(ann.id, 'other'));
        expect(await run(({ members }) => members.user(ann.id))).toMatchObject({ passwordHash: 'other' });
        await run(({ members }) => members.remove(crew.id, ann.id));
        expect(await run(({ members }) => members.list(crew.id))).toEqual([]);
        expect(await run(({ members }) => members.list(other.id))).toHaveLength(1);
      });

      it('bound the keys that are theirs, and take them along', async () => {
        const ann = await addUser();
        await join(crew, ann, 'viewer', 1);
        const rest = {
          teamId: crew.id,
          role: 'admin' as const,
          scopes: null,
          hint: 'lrk_aaaa',
          createdAt: at(1),
        };
        const ids = [randomIds.make('apiKey'), randomIds.make('apiKey')];
        for (const [index, id] of ids.entries())
          await run(({ apiKeys }) =>
            apiKeys.insert({
              ...{ ...rest, id, name: id, expiresAt: null, revokedAt: null },
              memberId: index === 0 ? ann.id : null,
              secretSha256: String(index).repeat(64),
            }),
          );
        const find = (digit: string) => run(({ apiKeys }) => apiKeys.findBySecret(digit.repeat(64)));
        expect(await find('0')).toMatchObject({ key: { memberId: ann.id }, memberRole: 'viewer' });
        expect(await find('1')).toMatchObject({ key: { memberId: null }, memberRole: null });
        const revoke = (team: SeededTeam) => run(({ apiKeys }) => apiKeys.revokeOf(team.id, ann.id, at(5)));
        expect([await revoke(other), await revoke(crew), await revoke(crew)]).toEqual([0, 1, 0]);
        expect(await find('0')).toMatchObject({ key: { revokedAt: at(5) } });
        expect(await find('1')).toMatchObject({ key: { revokedAt: null } });
      });
    });

    describe('sessions', () => {
      const begin = async (user: UserRecord, digit: string, expires = 60) => {
        const session = {
          ...{
            id: randomIds.make('session'),
            userId: user.id,
            apiKeyId: null,
            teamId: crew.id,
            secretSha256: digit.repeat(64),
          },
          ...{ createdAt: at(Number(digit)), usedAt: at(Number(digit)), expiresAt: at(expires) },
          ...{ address: '203.0.113.1', userAgent: 'curl/8' },
        };
        await run(({ sessions }) => sessions.insert(session));
        return session;
      };
      const find = (digit: string) => run(({ sessions }) => sessions.find(digit.repeat(64)));

      it('are found by the hash of their secret, choose a team, and end', async () => {
        const ann = await addUser();
        const one = await begin(ann, '1');
        await begin(ann, '2', 30);
        await begin(await addUser(), '3');
        expect(await find('1')).toEqual(one);
        const listed = (second: number) => run(({ sessions }) => sessions.list(one, at(second)));
        expect((await listed(29)).map(({ createdAt }) => createdAt)).toEqual([at(2), at(1)]);
        expect(await listed(30)).toEqual([one]);
        await run(({ sessions }) => sessions.use(one.id, at(20)));
        expect(await find('1')).toEqual({ ...one, usedAt: at(20) });
        expect(await find('9')).toBeNull();
        await run(({ sessions }) => sessions.chooseTeam(one.id, other.id));
        expect(await find('1')).toMatchObject({ teamId: other.id });
        expect(await find('2')).toMatchObject({ teamId: crew.id });
        await run(({ sessions }) => sessions.removeExpired(at(30)));
        expect(await find('2')).toBeNull();
        await begin(ann, '4');
        expect(await run(({ sessions }) => sessions.removeOthers(one, one.id))).toBe(1);
        expect([await find('4'), (await find('1'))?.id, (await find('3'))?.teamId]).toEqual([
          null,
          one.id,
          crew.id,
        ]);
        await run(({ sessions }) => sessions.remove(one.id));
        expect(await find('1')).toBeNull();
      });
    });

    describe('invitations', () => {
      const invite = async (digit: string, second: number) => {
        const invitation = {
          ...{ id: randomIds.make('invitation'), email: 'bob@example.org', role: 'member' as const },
          ...{ createdAt: at(second), expiresAt: at(60), acceptedAt: null },
        };
        await run(({ invitations }) =>
          invitations.insert(crew.id, { ...invitation, tokenSha256: digit.repeat(64) }),
        );
        return invitation;
      };

      it('are found by the hash of their token, listed without, accepted and revoked', async () => {
        const [one, two] = [await invite('1', 1), await invite('2', 2)];
        const list = (team: SeededTeam) => run(({ invitations }) => invitations.list(team.id));
        expect([await list(crew), await list(other)]).toEqual([[two, one], []]);
        const lock = (digit: string) => run(({ invitations }) => invitations.lock(digit.repeat(64)));
        expect([await lock('1'), await lock('9')]).toEqual([{ ...one, teamId: crew.id }, null]);
        await run(({ invitations }) => invitations.accept(one.id, at(5)));
        expect(await list(crew)).toEqual([two, { ...one, acceptedAt: at(5) }]);
        const remove = (team: SeededTeam) => run(({ invitations }) => invitations.remove(team.id, two.id));
        expect([await remove(other), await remove(crew), await remove(crew)]).toEqual([false, true, false]);
      });
    });
  });
}
