import type { ProbeRequest } from '../protocol/probe';
import type { Debugger } from './debugLease';

/** What tries entries for a client; its progress is told to the client. */
export interface ProbesOnDemand {
  /** @throws RpcError when there is nothing to try, or others are being tried */
  start(owner: Debugger, request: ProbeRequest): { of: number };
  /** Ends this client's run, if there is one. */
  stop(owner: Debugger): void;
}
