/** An error that the client is told as it is. */
export class RpcError extends Error {
  constructor(
    /** One of RPC_ERRORS. */
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}
