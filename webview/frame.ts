/** The only requestAnimationFrame of the page: whoever changes something asks for a drawing. */

export interface FrameScheduler {
  /** Draws in the next frame; many requests make one drawing; none while the page is hidden. */
  request(): void;
}

/** @param failed is told when a drawing throws; the next request draws again */
export function frameScheduler(draw: () => void, failed: (error: unknown) => void): FrameScheduler {
  let dirty = false;
  let pending = false;

  const schedule = (): void => {
    if (pending || document.hidden) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      if (!dirty || document.hidden) return;
      dirty = false;
      try {
        draw();
      } catch (error) {
        failed(error);
      }
    });
  };
  document.addEventListener('visibilitychange', () => {
    if (dirty) schedule();
  });
  return {
    request() {
      dirty = true;
      schedule();
    },
  };
}
