/** What is left of what was deleted. Of all teams. */
export interface RetentionRepository {
  /** Removes versions that were deleted before a time, or whose adapter was, and that no unfinished job works with; so many at most. Resolves to how many. */
  removeVersions(before: string, limit: number): Promise<number>;
  /** Removes adapters that were deleted before a time and have no version left; one that has jobs or sweeps keeps its name and nothing else. */
  removeAdapters(before: string, limit: number): Promise<number>;
  /** Removes kept states of jobs that ended before a time, but for those that are versions; so many at most. */
  removeCheckpoints(before: string, limit: number): Promise<number>;
  /** SHA-256 of blobs that something has stopped to refer to before a time: the longest ago, so many at most. */
  discarded(before: string, limit: number): Promise<string[]>;
  /** Of these, those that nothing refers to. */
  unreferenced(blobs: string[]): Promise<string[]>;
  /** They are removed, or in use again. */
  forget(blobs: string[]): Promise<void>;
}
