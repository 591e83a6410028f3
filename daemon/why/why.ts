/**
 * «Why?»: the decision trace of an entry or a lookup, what other rules would have answered, the
 * cause of an errno, advice, and how to see it oneself.
 */

import type { Hazard } from '../hazards/hazard';
import type { InspectorEvent } from '../protocol/eventJson';
import { nameText } from '../protocol/text';
import type { CauseJson, CauseKind, TraceJson, WhyJson, WhySubject } from '../protocol/why';
import type { LookupEvent } from '../tables/events';
import type { Nodeid } from '../tables/identity';
import { asNodeid } from '../tables/identity';
import { causeOf, guestMade, staleEntry } from './cause';
import type { KnownFile } from '../hazards/sameness';
import type { Past } from './past';
import { factsOf } from './past';
import type { Scene } from './reproduce';
import { reproduction } from './reproduce';
import { sameFile } from '../hazards/sameness';
import { traceOf } from './trace';

/** What is asked about is unknown, is no longer kept, or is not one thing. */
export class NothingToExplain extends Error {
  override readonly name = 'NothingToExplain';
}

/** @throws NothingToExplain with a sentence */
export function why(past: Past, subject: WhySubject): WhyJson {
  if ('nodeid' in subject) return entryOrThrow(past, subject.nodeid);
  if ('seq' in subject) return ofSeq(past, subject.seq);
  if ('path' in subject) return ofPath(past, subject.path);
  if ('errno' in subject) return ofErrno(past, subject.errno);
  return ofHazardNumber(past, subject.hazard);
}

// --- what is asked about ----------------------------------------------------------------------------

function entryOrThrow(past: Past, text: string): WhyJson {
  const nodeid = asNodeid(Number(text));
  const explained = nodeid === undefined ? null : ofEntry(past, nodeid);
  if (explained !== null) return explained;
  throw new NothingToExplain(
    `Node ${text} is not in the tables, and no event of it is kept (the oldest is ${past.oldest}).`,
  );
}

function ofSeq(past: Past, text: string): WhyJson {
  const event = past.event(Number(text));
  if (event === null) {
    throw new NothingToExplain(`Event ${text} is not kept; the oldest is ${past.oldest}.`);
  }
  const explained = ofEvent(past, event);
  if (explained !== null) return explained;
  throw new NothingToExplain(
    `Event ${text} (${event.type}) is about no entry and no lookup; ask for one that is.`,
  );
}

function ofEvent(past: Past, event: InspectorEvent): WhyJson | null {
  const { type } = event;
  if (type === 'lookup') return ofLookup(past, event);
  if (type === 'hazard' || type === 'hazard_closed') return ofHazard(past, event.hazard);
  if (type === 'open_by_handle') return ofEntry(past, event.nodeid, causeOf(past, event));
  if (type === 'key_stolen') return ofEntry(past, event.by);
  if (type === 'name_changed') return ofEntry(past, event.to);
  return 'nodeid' in event ? ofEntry(past, event.nodeid) : null;
}

/** Paths are relative to the shared directory; one that begins with it is understood too. */
function ofPath(past: Past, given: string): WhyJson {
  const shared = `${past.target.sharedDir}/`;
  const path = (given.startsWith(shared) ? given.slice(shared.length) : given)
    .replace(/^(\.\/)+/, '')
    .replace(/\/+$/, '');
  const [only, ...others] = past.entriesAt(path);
  if (only !== undefined && others.length > 0) {
    const newest = past.newestAt(path);
    const which =
      newest?.nodeid == null
        ? ''
        : ` The newest lookup of that name led to node ${newest.nodeid} (event ${newest.seq}).`;
    throw new NothingToExplain(
      `“${path}” is the newest name of nodes ${[only, ...others].join(', ')}; ask for one by its node id.${which}`,
    );
  }
  const explained = only === undefined ? null : ofEntry(past, only);
  if (explained !== null) return explained;
  const lookup = past.newestAt(path);
  if (lookup !== null) return ofLookup(past, lookup);
  throw new NothingToExplain(
    `No entry is known by the path “${path}”, and no lookup of it is kept. Paths are relative to ${past.target.sharedDir}.`,
  );
}

function ofErrno(past: Past, errno: string): WhyJson {
  const event = past.newest(Infinity, (candidate) => {
    if (candidate.type !== 'lookup' && candidate.type !== 'open_by_handle') return false;
    return candidate.errno !== 0 && past.errnoName(candidate.errno) === errno;
  });
  const explained = event === null ? null : ofEvent(past, event);
  if (explained !== null) return explained;
  if (errno !== 'ESTALE') {
    throw new NothingToExplain(`No lookup since event ${past.oldest} was answered ${errno}.`);
  }
  const cause = guestMade(past);
  return {
    title: 'ESTALE',
    nodeid: null,
    traces: [],
    now: null,
    cause,
    advice: [ADVICE.guest_made],
    reproduce: reproduction({ kind: 'look', target: past.target, path: null }),
  };
}

/** The newest open hazard of a number; when none is open, the newest that was. */
function ofHazardNumber(past: Past, id: string): WhyJson {
  const open = past.openHazard(id);
  if (open !== null) return ofHazard(past, open);
  const over = past.newest(
    Infinity,
    (event) => event.type === 'hazard_closed' && event.hazard.id === id,
  );
  if (over?.type === 'hazard_closed') return ofHazard(past, over.hazard);
  throw new NothingToExplain(
    `No hazard ${id} is open, and none was in the events that are kept (from ${past.oldest} on).`,
  );
}

function ofHazard(past: Past, hazard: Hazard): WhyJson {
  const event = past.event(hazard.seq);
  const [first] = hazard.nodeids;
  const of =
    event?.type === 'lookup'
      ? ofLookup(past, event)
      : first === undefined
        ? null
        : ofEntry(past, first);
  if (of === null) {
    throw new NothingToExplain(
      `The entries of ${hazard.id} ${hazard.name} are forgotten, and their events are no longer kept.`,
    );
  }
  const advice = [hazard.advice, ...of.advice.filter((line) => line !== hazard.advice)];
  return {
    ...of,
    title: `${hazard.id} ${hazard.name}${hazard.state === 'closed' ? ' (over)' : ''} · ${of.title}`,
    advice,
  };
}

// --- answers ----------------------------------------------------------------------------------------

function ofLookup(past: Past, lookup: LookupEvent): WhyJson {
  const trace = traceOf(past, lookup);
  const { nodeid } = lookup;
  const cause = causeOf(past, lookup);
  return {
    title: trace.title,
    nodeid: trace.nodeid,
    traces: [trace],
    now: nodeid === null ? null : nowOf(past, nodeid),
    cause,
    advice: adviceFor(past, nodeid, cause, [trace]),
    reproduce: reproduction(sceneOf(past, lookup, cause, pathOf(past, lookup))),
  };
}

function pathOf(past: Past, { parent, name }: LookupEvent): string | null {
  const folder = past.path(parent);
  if (folder === null) return null;
  return folder === '.' ? nameText(name) : `${folder}/${nameText(name)}`;
}

/** @param known the cause of an errno that is asked about; left out, the newest that the entry met */
function ofEntry(past: Past, nodeid: Nodeid, known?: CauseJson | null): WhyJson | null {
  const facts = factsOf(past, nodeid);
  if (facts === null) return null;
  const made = past.creation(nodeid)?.lookup ?? null;
  const newest = past.newestOf(
    nodeid,
    (event) => event.type === 'lookup' && event.nodeid === nodeid,
  );
  const lookups = [made, newest?.type === 'lookup' && newest.seq !== made?.seq ? newest : null];
  const traces = lookups.flatMap((lookup) => (lookup === null ? [] : [traceOf(past, lookup)]));
  const cause = known === undefined ? failureOf(past, facts) : known;
  const path = past.path(nodeid);
  return {
    title: path === null ? `node ${nodeid}` : `node ${nodeid}: ${path}`,
    nodeid: String(nodeid),
    traces,
    now: nowOf(past, nodeid),
    cause,
    advice: adviceFor(past, nodeid, cause, traces),
    reproduce: reproduction(sceneOf(past, made, cause, path)),
  };
}

/** Why the entry cannot be opened, when that is so. */
function failureOf(past: Past, { nodeid }: KnownFile): CauseJson | null {
  const failed = past.newestOf(nodeid, (event) => event.type === 'open_by_handle');
  if (failed !== null) return causeOf(past, failed);
  const errno = past.probeErrno(nodeid);
  if (errno !== 'ESTALE') return null;
  return staleEntry(past, nodeid, (kind, sentence, ...evidence) => ({
    errno,
    kind,
    sentence,
    evidence: [
      `The handle of node ${nodeid} was tried: ${errno}. The guest has not met it.`,
      ...evidence,
    ],
  }));
}

function nowOf(past: Past, nodeid: Nodeid): string {
  const { tables } = past;
  const entry = tables.entry(nodeid);
  if (entry === undefined) {
    const gone = past.newestOf(nodeid, (event) => event.type === 'remove');
    return `Node ${nodeid} has been forgotten${gone === null ? '' : ` (event ${gone.seq})`}.`;
  }
  const times = entry.lookups === 1 ? 'once' : `${entry.lookups} times`;
  const leads = (table: string, owner: Nodeid): string => {
    if (owner === nodeid) return `${table} leads to it`;
    return owner === 0 ? `${table} has lost its key` : `${table} leads to node ${owner} instead`;
  };
  const keys = [leads('inodes_by_ids', tables.ownerOfIdsKey(nodeid))];
  if (entry.handle !== null) {
    keys.push(leads('inodes_by_handle', tables.ownerOfHandleKey(nodeid)));
  }
  const errno = past.probeErrno(nodeid);
  if (errno !== null) keys.push(`its handle answered ${errno}`);
  return `Node ${nodeid} is counted ${times}; ${keys.join(', ')}.`;
}

// --- advice -------------------------------------------------------------------------------------------

const ADVICE: { readonly [K in CauseKind]: string } = {
  injected: 'The debugger did it. Nothing to do.',
  deleted:
    'The guest cached a name that the host removed. Use `--cache=auto` or `never`, or do the deletion inside the guest.',
  replaced:
    'The handle told the two files apart; the guest finds the new one when it looks the name up again. ' +
    'Use `--cache=auto` or `never` if it holds on to the old one too long.',
  volatile: 'This share is FUSE without lasting handles. Start with `--inode-file-handles=never`.',
  not_openable:
    'Give the daemon CAP_DAC_READ_SEARCH, or start it with `--inode-file-handles=never` and mind the descriptor limit.',
  mount_gone:
    'Mount it again, and let the guest forget what it cached: `echo 2 > /proc/sys/vm/drop_caches`.',
  mount_unresolvable:
    'Uncover or move the mount point, or start with `--inode-file-handles=never`. `virtiofsd-inspector check DIR` names the mounts in question.',
  guest_made:
    'If overlayfs lies on top of the share: remount it, drop the caches of the guest (`echo 2 > /proc/sys/vm/drop_caches`), or use `--cache=always`.',
  not_there: 'Nothing to do, if the name is not supposed to be there.',
  host_error: "Look at the host's kernel log and at its disk.",
  no_memory: 'Free memory on the host; a retry finds the file.',
  no_handles: 'Start with `--inode-file-handles=prefer` or `never`.',
  too_many_files:
    'In this order: `--inode-file-handles=prefer` if handles work here (`virtiofsd-inspector check DIR`), a larger `--rlimit-nofile`, ' +
    'in the guest `echo 2 > /proc/sys/vm/drop_caches`, and a larger `vfs_cache_pressure` there.',
  host_refused:
    'The daemon passes on what the host says: look at the file there, as the same user.',
};

function adviceFor(
  past: Past,
  nodeid: Nodeid | null,
  cause: CauseJson | null,
  traces: readonly TraceJson[],
): string[] {
  const hazards = nodeid === null ? [] : past.hazardsOf(nodeid);
  const all = [
    ...hazards.map(({ advice }) => advice),
    ...(cause === null ? [] : [ADVICE[cause.kind]]),
  ];
  if (all.length > 0) return [...new Set(all)];
  const wrong = traces.some(({ rules }) =>
    rules.some(({ current, verdict }) => current && verdict === 'wrong_file'),
  );
  return [
    wrong
      ? 'The guest works with the wrong file. Start the daemon with the rule handle-then-fd.'
      : 'Nothing to do.',
  ];
}

function sceneOf(
  past: Past,
  lookup: LookupEvent | null,
  cause: CauseJson | null,
  path: string | null,
): Scene {
  const rule = past.target.lookupRule;
  if (cause?.kind === 'too_many_files') return { kind: 'too_many_files' };
  if (cause?.kind === 'replaced') return { kind: 'reuse', rule };
  if (cause?.kind === 'deleted') return { kind: 'stale' };
  if (lookup !== null && lookup.byIds !== null && lookup.byIds !== lookup.nodeid) {
    const other = factsOf(past, lookup.byIds);
    if (lookup.handleErrno !== 0) {
      return { kind: 'handle_fails', rule, errno: past.errnoName(lookup.handleErrno) };
    }
    if (other !== null && sameFile(lookup, other) === 'different') return { kind: 'reuse', rule };
  }
  return { kind: 'look', target: past.target, path };
}
