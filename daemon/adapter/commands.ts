/** The requests of the Debug Adapter Protocol that are answered, and what clients are told of them. */

import type { DebugProtocol } from '@vscode/debugprotocol';
import { EXCEPTION_FILTERS } from './breakpoints';
import type { CLEAR_REQUEST, FAULTS_EVENT, FaultsBody, INJECT_REQUEST } from './messages';

interface Bodies {
  SetBreakpoints: DebugProtocol.SetBreakpointsResponse;
  DataBreakpointInfo: DebugProtocol.DataBreakpointInfoResponse;
  BreakpointLocations: DebugProtocol.BreakpointLocationsResponse;
  ExceptionInfo: DebugProtocol.ExceptionInfoResponse;
  Threads: DebugProtocol.ThreadsResponse;
  StackTrace: DebugProtocol.StackTraceResponse;
  Scopes: DebugProtocol.ScopesResponse;
  Variables: DebugProtocol.VariablesResponse;
  Evaluate: DebugProtocol.EvaluateResponse;
  Completions: DebugProtocol.CompletionsResponse;
  Source: DebugProtocol.SourceResponse;
  LoadedSources: DebugProtocol.LoadedSourcesResponse;
  Continue: DebugProtocol.ContinueResponse;
}
export type Body<B extends keyof Bodies> = Bodies[B]['body'];

/** What each takes and gives. */
export interface Commands {
  initialize: [DebugProtocol.InitializeRequestArguments, DebugProtocol.Capabilities];
  attach: [unknown, undefined];
  launch: [unknown, undefined];
  restart: [DebugProtocol.RestartArguments | undefined, undefined];
  disconnect: [DebugProtocol.DisconnectArguments | undefined, undefined];
  terminate: [unknown, undefined];
  configurationDone: [unknown, undefined];
  setBreakpoints: [DebugProtocol.SetBreakpointsArguments, Body<'SetBreakpoints'>];
  setFunctionBreakpoints: [DebugProtocol.SetFunctionBreakpointsArguments, Body<'SetBreakpoints'>];
  setDataBreakpoints: [DebugProtocol.SetDataBreakpointsArguments, Body<'SetBreakpoints'>];
  setExceptionBreakpoints: [DebugProtocol.SetExceptionBreakpointsArguments, Body<'SetBreakpoints'>];
  dataBreakpointInfo: [DebugProtocol.DataBreakpointInfoArguments, Body<'DataBreakpointInfo'>];
  breakpointLocations: [DebugProtocol.BreakpointLocationsArguments, Body<'BreakpointLocations'>];
  exceptionInfo: [DebugProtocol.ExceptionInfoArguments, Body<'ExceptionInfo'>];
  threads: [unknown, Body<'Threads'>];
  stackTrace: [DebugProtocol.StackTraceArguments, Body<'StackTrace'>];
  scopes: [DebugProtocol.ScopesArguments, Body<'Scopes'>];
  variables: [DebugProtocol.VariablesArguments, Body<'Variables'>];
  evaluate: [DebugProtocol.EvaluateArguments, Body<'Evaluate'>];
  completions: [DebugProtocol.CompletionsArguments, Body<'Completions'>];
  source: [DebugProtocol.SourceArguments, Body<'Source'>];
  loadedSources: [unknown, Body<'LoadedSources'>];
  continue: [DebugProtocol.ContinueArguments, Body<'Continue'>];
  next: [DebugProtocol.NextArguments, undefined];
  stepIn: [DebugProtocol.StepInArguments, undefined];
  stepOut: [DebugProtocol.StepOutArguments, undefined];
  pause: [unknown, undefined];
  [INJECT_REQUEST]: [unknown, FaultsBody];
  [CLEAR_REQUEST]: [unknown, FaultsBody];
  [FAULTS_EVENT]: [unknown, FaultsBody];
}

export type Handlers = {
  readonly [C in keyof Commands]: (
    given: Commands[C][0],
  ) => Promise<Commands[C][1]> | Commands[C][1];
};

export const CAPABILITIES: DebugProtocol.Capabilities = {
  supportsConfigurationDoneRequest: true,
  supportsFunctionBreakpoints: true,
  supportsConditionalBreakpoints: true,
  supportsHitConditionalBreakpoints: true,
  supportsLogPoints: true,
  supportsDataBreakpoints: true,
  supportsBreakpointLocationsRequest: true,
  supportsExceptionInfoRequest: true,
  supportsExceptionFilterOptions: true,
  exceptionBreakpointFilters: EXCEPTION_FILTERS.map(({ filter, label, description }) => ({
    filter,
    label,
    description,
    default: false,
    supportsCondition: true,
    conditionDescription: 'An expression over the request, such as errno != "ENOENT"',
  })),
  supportsEvaluateForHovers: true,
  supportsCompletionsRequest: true,
  supportsLoadedSourcesRequest: true,
  supportsRestartRequest: true,
  supportsTerminateRequest: true,
  supportTerminateDebuggee: true,
  supportsSingleThreadExecutionRequests: true,
};
