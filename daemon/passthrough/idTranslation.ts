/** --translate-uid and --translate-gid: ids that are others on the host than in the guest. */

/** Ids [from, from + count) of one side. */
export interface IdRule {
  readonly from: number;
  readonly count: number;
  /** The first id on the other side; null: these ids must not be used. */
  readonly to: number | null;
  /** All of them become `to`. */
  readonly squash: boolean;
}

/** The rules of one direction do not overlap. Ids without a rule stay as they are. */
export interface IdTranslation {
  readonly toHost: readonly IdRule[];
  readonly toGuest: readonly IdRule[];
}

export interface OwnerTranslation {
  readonly uid: IdTranslation;
  readonly gid: IdTranslation;
}

/** The id on the other side, or -1 when it must not be used. */
export function translated(rules: readonly IdRule[], id: number): number {
  for (const { from, count, to, squash } of rules) {
    if (id < from || id - from >= count) continue;
    if (to === null) return -1;
    return squash ? to : to + (id - from);
  }
  return id;
}
