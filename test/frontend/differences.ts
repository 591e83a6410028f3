/**
 * Where our daemon answers otherwise than a virtiofsd does, and why. A line that matches nothing
 * any more fails the conformance test, so the table stays true.
 */

import type { Listed } from './compare';

export const DIFFERENCES: readonly Listed[] = [];
