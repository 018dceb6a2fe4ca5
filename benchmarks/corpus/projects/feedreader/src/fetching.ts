export type Get = (url: string, signal: AbortSignal) => Promise<{ status: number; text: string }>;

export class FeedError extends Error {
  retryable: boolean;

  constructor(message: string, retryable: boolean) {
    super(message);
    this.retryable = retryable;
  }
}

export interface Options {
  tries: number;
  timeoutMs: number;
  pause: (ms: number) => Promise<void>;
}

/** Fetches one feed; what may pass is tried again after a pause that doubles. */
export async function fetchFeed(get: Get, url: string, options: Options): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await once(get, url, options.timeoutMs);
    } catch (error) {
      const retryable = !(error instanceof FeedError) || error.retryable;
      if (!retryable || attempt >= options.tries) throw error;
      await options.pause(500 * 2 ** (attempt - 1));
    }
  }
}

async function once(get: Get, url: string, timeoutMs: number): Promise<string> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), timeoutMs);
  try {
    const { status, text } = await get(url, stop.signal);
    if (status >= 400) throw new FeedError(`${url}: ${status}`, status >= 500 || status === 429);
    return text;
  } finally {
    clearTimeout(timer);
  }
}

/** Fetches all feeds, at most `limit` at a time; the outcome of each stands at its place. */
export async function fetchAll(
  urls: string[],
  limit: number,
  fetchOne: (url: string) => Promise<string>,
): Promise<PromiseSettledResult<string>[]> {
  const outcomes: PromiseSettledResult<string>[] = new Array(urls.length);
  let next = 0;
  async function work(): Promise<void> {
    while (next < urls.length) {
      const place = next++;
      try {
        outcomes[place] = { status: "fulfilled", value: await fetchOne(urls[place]!) };
      } catch (reason) {
        outcomes[place] = { status: "rejected", reason };
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, urls.length) }, work));
  return outcomes;
}
