/** A name that leads to another node than before: H34. */

import type { HazardRule } from './hazard';

export const guestMadeStale: HazardRule = {
  id: 'H34',
  name: 'GUEST-MADE ESTALE',
  // Open for as long as the guest keeps the old node: without an overlayfs it forgets it at once.
  onNameChange: ({ parent, name, from, to }, view) => ({
    key: String(from),
    severity: 'information',
    nodeids: [from],
    evidence: {
      name: view.text(name),
      parent: String(parent),
      before: String(from),
      now: String(to),
      staleReplies: view.staleReplies,
    },
    advice:
      `The name “${view.text(name)}” led to node ${from} and now leads to node ${to}; the guest looks again ` +
      'and goes on. Below an overlayfs in the guest it becomes a lasting ESTALE that no reply of the daemon ' +
      `carried (replies with ESTALE so far: ${view.staleReplies}): then remount the overlay, drop the guest's ` +
      'caches, or use `--cache=always`.',
  }),
};
