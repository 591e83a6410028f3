import type { WireMemory } from './wire';

/**
 * How file data reaches the peer without passing through JavaScript. A transport brings one: over
 * /dev/fuse READ is answered by splice, over vhost-user the guest's own memory is read into.
 */
export interface DataChannel {
  /**
   * Answers the READ at hand with up to `size` bytes of `fd`.
   *
   * @param offsetAt where the u64 offset stands
   * @param uniqueAt where the request's u64 unique stands
   * @returns 0 when the reply was sent; -errno when nothing was sent
   */
  sendFile(fd: number, offsetAt: number, size: number, uniqueAt: number): number;
  /**
   * Writes the payload of the WRITE at hand to `fd`.
   *
   * @param dataAt where the payload stands when it is in the request's memory
   * @returns bytes written, or -errno
   */
  writeFile(fd: number, dataAt: number, size: number, offsetAt: number, append: boolean): number;
  /**
   * Answers other requests while the one at hand waits, until `until` says so or the session is
   * over; then the one at hand goes on. Returns at once when it cannot be put aside.
   *
   * @param keep called when all of the request is in the scratch; what it returns puts it back
   */
  serveOthers(until: () => boolean, keep: () => () => void): void;
}

/** What answers requests: see createFileSystem. */
export interface RequestHandler {
  /** The scratch in which requests and replies stand. */
  readonly memory: WireMemory;
  /**
   * Handles the request that stands at the request's place in the scratch.
   *
   * @param length bytes received
   * @param channel for file data
   * @returns bytes of the reply at the reply's place, or 0 when none is to be sent (a forget, or
   *   the channel has already answered)
   */
  handle(length: number, channel: DataChannel): number;
  /**
   * Whether the request in the scratch must not be handled while another waits (`serveOthers`): it
   * begins or ends the session.
   */
  standsAlone(): boolean;
  /** Makes all that waits go on, because what comes next finds nothing under way. */
  letGo(): void;
  /** Drops everything that the guest had, as when its device is reset. The next request is INIT. */
  reset(): void;
}
