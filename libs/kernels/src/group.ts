import { type Context, type Handle } from './context';
import { KernelError } from './errors';
import { type Pointer } from './native';
import type { Group } from './types';
import { uint32 } from './values';

const GROUP_ID_BYTES = 128; // LR_GROUP_ID_BYTES

const handles = new WeakMap<Group, Handle>();

/** The native handle behind a group made by joinGroup. */
export function groupHandleOf(group: Group): Handle {
  const handle = handles.get(group);
  if (handle === undefined)
    throw new KernelError('invalid_argument', 'this group was not made by joinGroup', 'lr_group_join');
  return handle;
}

export function groupId(context: Context): Uint8Array {
  const id = new Uint8Array(GROUP_ID_BYTES);
  context.sync('lr_group_id', context.handle.open('lr_group_id'), id);
  return id;
}

export async function joinGroup(
  context: Context,
  id: Uint8Array,
  rank: number,
  ranks: number,
): Promise<Group> {
  const call = 'lr_group_join';
  if (id.length !== GROUP_ID_BYTES)
    throw new KernelError('invalid_argument', `an id of ${id.length} bytes, not ${GROUP_ID_BYTES}`, call);
  const numbers = [uint32('rank', rank, call), uint32('ranks', ranks, call)];
  const out: [Pointer | null] = [null];
  const pointer = context.handle.open(call);
  await context.run(call, { uses: [context.handle], args: () => [pointer, id, ...numbers, out] });
  const handle = context.adopt(out[0] as Pointer, 'lr_group_leave', 'group', [context.handle]);
  const group: Group = { rank, ranks, leave: () => handle.close() };
  handles.set(group, handle);
  return group;
}
