/**
 * A client of the service as a caller's program would have one: it times what it asks, and asks
 * again where it is told to come back. Ids make that safe.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Stopwatch } from './figures.ts';

export interface ClientOptions {
  /** Of each instance. */
  readonly urls: readonly string[];
  readonly token: string | undefined;
  readonly stopwatch: Stopwatch;
}

export interface Asked {
  /** What it counts as. */
  readonly operation: string;
  /** Which instance. */
  readonly at: number;
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  /** Answers that are expected beside the successful ones. */
  readonly also?: readonly number[];
}

export interface Answer {
  readonly status: number;
  readonly tier: string;
  readonly body: unknown;
}

/** An answer that was not expected. The message names the operation, never what was said. */
export class UnexpectedAnswerError extends Error {
  override readonly name = 'UnexpectedAnswerError';
}

const ATTEMPTS = 4;
const TIMEOUT_MS = 15_000;
/** Nobody could say in time. */
const PASSING: readonly number[] = [503, 504];

export class Client {
  readonly #options: ClientOptions;
  #retries = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  get instances(): number {
    return this.#options.urls.length;
  }

  /** How often something had to be asked again. */
  get retries(): number {
    return this.#retries;
  }

  /** @throws UnexpectedAnswerError */
  async ask(asked: Asked): Promise<Answer> {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.#once(asked).catch((error: unknown) => error);
      const isLast = attempt === ATTEMPTS;
      if (!isAnswer(answer)) {
        const reason = answer instanceof Error ? answer.name : 'no answer';
        if (isLast) throw new UnexpectedAnswerError(`${asked.operation}: ${reason}`);
      } else if (!PASSING.includes(answer.status) || isLast) {
        if (answer.status < 300 || asked.also?.includes(answer.status)) return answer;
        throw new UnexpectedAnswerError(`${asked.operation}: ${answer.status}`);
      }
      this.#retries += 1;
      await sleep(250 * attempt);
    }
  }

  async #once({ operation, at, method, path, body }: Asked): Promise<Answer> {
    const { urls, token, stopwatch } = this.#options;
    const headers = {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    };
    const start = performance.now();
    const response = await fetch(`${urls[at % urls.length]}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const isAudio = response.headers.get('content-type')?.startsWith('audio/') === true;
    const heard = await response.arrayBuffer();
    const ms = performance.now() - start;
    const tier = response.headers.get('x-cache') ?? response.headers.get('x-cache-durable') ?? '';
    if (response.ok) stopwatch.add({ operation, tier }, ms);
    if (isAudio) return { status: response.status, tier, body: undefined };
    const text = new TextDecoder().decode(heard);
    return { status: response.status, tier, body: text === '' ? undefined : JSON.parse(text) };
  }
}

function isAnswer(value: unknown): value is Answer {
  return typeof value === 'object' && value !== null && 'status' in value && 'tier' in value;
}
