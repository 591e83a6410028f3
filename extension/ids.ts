/** Every id that package.json and the code must agree on. */

const PREFIX = 'virtiofsdInspector';

export const VIEWS = {
  daemons: `${PREFIX}.daemons`,
  hazards: `${PREFIX}.hazards`,
} as const;

/** The debug adapter's type in launch.json. */
export const DEBUG_TYPE = 'virtiofsd';

export const KEY_MAP = `${PREFIX}.keyMap`;

export const COMMANDS = {
  startOnFolder: `${PREFIX}.startOnFolder`,
  checkFolder: `${PREFIX}.checkFolder`,
  stopDaemon: `${PREFIX}.stopDaemon`,
  connectUrl: `${PREFIX}.connectUrl`,
  connect: `${PREFIX}.connect`,
  disconnect: `${PREFIX}.disconnect`,
  openKeyMap: `${PREFIX}.openKeyMap`,
  findEntry: `${PREFIX}.findEntry`,
  probeNow: `${PREFIX}.probeNow`,
  copySnapshot: `${PREFIX}.copySnapshot`,
  copyUrl: `${PREFIX}.copyUrl`,
  openTerminal: `${PREFIX}.openTerminal`,
  revealMount: `${PREFIX}.revealMount`,
  showLog: `${PREFIX}.showLog`,
  debugDaemon: `${PREFIX}.debugDaemon`,
  addBreakpoint: `${PREFIX}.addBreakpoint`,
  injectFault: `${PREFIX}.injectFault`,
  clearFaults: `${PREFIX}.clearFaults`,
  openRule: `${PREFIX}.openRule`,
  takeTour: `${PREFIX}.takeTour`,
  explainHazard: `${PREFIX}.explainHazard`,
  /** For launch.json: `${command:virtiofsdInspector.pickDaemon}` is a process id. */
  pickDaemon: `${PREFIX}.pickDaemon`,
  /** Not in the palette: the hazards view calls it with one of its rows. */
  whyNode: `${PREFIX}.whyNode`,
  /** Not in the palette: the hazards view calls it with a daemon and a node id. */
  revealEntry: `${PREFIX}.revealEntry`,
} as const;

/** Keys for `when` clauses. */
export const CONTEXTS = {
  /** Some daemon is listed. */
  someDaemon: `${PREFIX}.someDaemon`,
  /** The current daemon answers. */
  connected: `${PREFIX}.connected`,
  /** Some daemon was started by this window. */
  someStarted: `${PREFIX}.someStarted`,
} as const;

/** Words in a row's context value, for `viewItem =~ /\bWORD\b/`. */
export const ROW_WORDS = {
  daemon: 'daemon',
  started: 'started',
  mounted: 'mounted',
  connected: 'connected',
  disconnected: 'disconnected',
  /** A row of the hazards view; one that concerns an entry. */
  hazard: 'hazard',
  entry: 'entry',
} as const;
