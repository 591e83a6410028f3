/** Lookups by ids that were answered with another file: H11, H12. The tables look healthy then. */

import type { LookupEvent } from '../tables/events';
import type { ProbeFinding } from '../tables/held';
import { birthTimeText } from '../tables/held';
import type { Nodeid } from '../tables/identity';
import type { Evidence, HazardRule, HazardView } from './hazard';
import { hasOtherIds, idsText } from './hazard';

export const OVERLAYFS_SUPER_MAGIC = 0x794c7630;

/** A lookup that was answered by ids, by an entry whose descriptor is another file. */
interface Alias {
  readonly event: LookupEvent;
  readonly nodeid: Nodeid;
  readonly probed: ProbeFinding | null;
}

function aliasIn(event: LookupEvent): Alias | null {
  const { hit, nodeid, probe, probed } = event;
  if (hit !== 'fallback_hit' && hit !== 'handleless_hit') return null;
  if (probe !== 'different' || nodeid === null) return null;
  return { event, nodeid, probed: probed ?? null };
}

/** Two inodes of an overlay that only the kernel itself tells apart. */
function isOverlayLink({ event, probed }: Alias): boolean {
  return (
    event.spare?.fsType === OVERLAYFS_SUPER_MAGIC &&
    event.spare.nlink > 1 &&
    probed !== null &&
    probed.fields.some((field) => field === 'inode')
  );
}

function evidenceOf({ event, nodeid, probed }: Alias, view: HazardView): Evidence {
  const { spare } = event;
  const held = probed?.held ?? null;
  const subvol = spare?.subvol ?? null;
  return {
    name: view.text(event.name),
    node: String(nodeid),
    asked: idsText(event.ids),
    held: held === null ? null : idsText(held.ids),
    heldErrno: probed === null || probed.errno === 0 ? null : view.errnoName(probed.errno),
    differs: probed === null ? null : probed.fields.join(', '),
    askedLinks: spare?.nlink ?? null,
    heldLinks: held?.nlink ?? null,
    askedBtime: spare?.btime == null ? null : birthTimeText(spare.btime),
    heldBtime: held?.btime == null ? null : birthTimeText(held.btime),
    ...(subvol === null && held?.subvol == null
      ? {}
      : {
          askedSubvol: subvol === null ? null : String(subvol),
          heldSubvol: held?.subvol == null ? null : String(held.subvol),
        }),
  };
}

export const unpinnedAlias: HazardRule = {
  id: 'H11',
  name: 'UNPINNED ALIAS',
  onEvent(event, view) {
    if (event.type !== 'lookup') return null;
    const alias = aliasIn(event);
    if (alias === null || isOverlayLink(alias)) return null;
    // An entry with a handle pins nothing in the first place: H13.
    if (view.tables.entry(alias.nodeid)?.kind === 'handle') return null;
    return {
      key: String(alias.nodeid),
      severity: 'data',
      nodeids: [alias.nodeid],
      evidence: evidenceOf(alias, view),
      advice:
        `Node ${alias.nodeid} was answered from inodes_by_ids, but the file that it holds is not the one ` +
        'that was asked for: the guest reads and writes the other one. The open descriptor did not ' +
        'pin the number. Use `--inode-file-handles=prefer` or `mandatory`.',
    };
  },
  // Nobody was answered wrongly yet: whoever gets the number next will be.
  onProbe({ nodeid, held }, view) {
    const entry = view.tables.entry(nodeid);
    if (held == null || entry?.kind !== 'file' || !hasOtherIds(entry, held)) return null;
    return {
      key: String(nodeid),
      severity: 'identity',
      nodeids: [nodeid],
      evidence: {
        node: String(nodeid),
        key: idsText(entry.ids),
        held: idsText(held.ids),
        heldLinks: held.nlink,
      },
      advice:
        `The file that node ${nodeid} holds no longer has the numbers of its key: the next file that gets ` +
        'them will be answered with this node. Let the guest drop its caches, and use ' +
        '`--inode-file-handles=prefer` or `mandatory`.',
    };
  },
};

const ADVICE_OVERLAY =
  'mount it with `index=on,nfs_export=on`, or share the directories below the overlay instead.';

export const overlayHardLinkAlias: HazardRule = {
  id: 'H12',
  name: 'OVERLAY HARD-LINK ALIAS',
  onEvent(event, view) {
    if (event.type !== 'lookup') return null;
    const alias = aliasIn(event);
    if (alias !== null && isOverlayLink(alias)) {
      const { nodeid } = alias;
      return {
        key: String(nodeid),
        severity: 'data',
        nodeids: [nodeid],
        evidence: evidenceOf(alias, view),
        advice:
          `“${view.text(event.name)}” is a hard link in a lower layer of an overlay: a file of its own ` +
          `with the same numbers as the one that node ${nodeid} holds. What the guest writes lands in ` +
          `the other file. Unmount the overlay and ${ADVICE_OVERLAY}`,
      };
    }
    return possibleAlias(event, view);
  },
};

/** The kernel would not compare the two inodes: hard links of one layer look the same. */
function possibleAlias(
  event: LookupEvent,
  view: HazardView,
): ReturnType<NonNullable<HazardRule['onEvent']>> {
  const { nodeid, probed } = event;
  if (nodeid === null || event.probe !== 'same' || probed === undefined) return null;
  if (!probed.fields.some((field) => field === 'inode-unknown')) return null;
  if (view.wasNamed(nodeid, event.parent, event.name)) return null;
  return {
    key: String(nodeid),
    severity: 'information',
    nodeids: [nodeid],
    evidence: evidenceOf({ event, nodeid, probed }, view),
    advice:
      `“${view.text(event.name)}” has the numbers of the file that node ${nodeid} holds, on an overlay; ` +
      'the kernel did not let the two be compared. If they are hard links in a lower layer they are ' +
      `two files, and the guest gets the wrong one: ${ADVICE_OVERLAY}`,
  };
}
