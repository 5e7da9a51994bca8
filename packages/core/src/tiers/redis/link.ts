/**
 * Keeps one session alive: makes it, prepares it, and makes another when it is lost.
 *
 *   idle     → connecting   connect()
 *   connecting → up         the session is open and prepared (handshake, or subscription)
 *   connecting → waiting    it failed; tried again after a delay that doubles up to a second
 *   up       → waiting      it closed
 *   waiting  → connecting   the delay passed, or connect() is called
 *   any      → closed       close(); final
 *
 * Nobody but `prepare` sees a session before it is prepared. One attempt at a time.
 */
import type { Clock } from '../../clock.ts';
import { TierError } from '../../errors.ts';
import { closedError } from './failures.ts';
import type { Session } from './session.ts';

export interface LinkOptions {
  readonly clock: Clock;
  readonly open: () => Session;
  /** What has to succeed before the session is used. */
  readonly prepare: (session: Session) => Promise<void>;
  readonly onUp: (session: Session) => void;
  readonly onDown: () => void;
}

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 1000;
/** How long a session may take to be prepared. A frozen server accepts, and says nothing. */
const PREPARE_MS = 5000;

export class Link {
  readonly #options: LinkOptions;
  /** Every session whose socket is not gone yet. */
  readonly #sessions = new Set<Session>();
  #up: Session | undefined;
  #making: Session | undefined;
  #attempt: Promise<Session> | undefined;
  #cancelRetry: (() => void) | undefined;
  #failures = 0;
  #closed = false;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** The session that is up. */
  get session(): Session | undefined {
    return this.#up;
  }

  /** Makes a session now, or joins the attempt under way. */
  connect(): Promise<Session> {
    if (this.#closed) return Promise.reject(closedError());
    if (this.#up !== undefined) return Promise.resolve(this.#up);
    if (this.#attempt === undefined) {
      this.#cancelRetry?.();
      this.#cancelRetry = undefined;
      const attempt = this.#make();
      this.#attempt = attempt;
      // Before anybody else hears of it, who may ask for another at once.
      attempt.catch(() => {
        this.#attempt = undefined;
        this.#retryLater();
      });
    }
    return this.#attempt;
  }

  /** Drops the session with everything that waits on it, and makes another at once. */
  reconnect(): void {
    if (this.#closed) return;
    const reason = new TierError('the connection to Redis was dropped', 'unreachable', {
      outcome: 'unknown',
    });
    this.#making?.close(reason);
    const up = this.#up;
    if (up === undefined) return;
    up.close(reason);
    this.#lost(up);
    void this.connect();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRetry?.();
    for (const session of this.#sessions) session.close(closedError());
    await Promise.all([...this.#sessions].map((session) => session.ended));
  }

  async #make(): Promise<Session> {
    const { clock, open, prepare, onUp } = this.#options;
    const session = open();
    this.#making = session;
    this.#sessions.add(session);
    void session.ended.then(() => this.#sessions.delete(session));
    const cancel = clock.after(PREPARE_MS, () => {
      const late = 'Redis did not answer a new connection';
      session.close(new TierError(late, 'timeout', { outcome: 'none' }));
    });
    try {
      await session.open();
      await Promise.race([prepare(session), session.failure]);
      if (session.reason !== undefined) throw session.reason;
    } catch (error) {
      session.close(closedError());
      throw error;
    } finally {
      cancel();
      this.#making = undefined;
    }
    this.#attempt = undefined;
    this.#failures = 0;
    this.#up = session;
    session.failure.catch(() => this.#lost(session));
    onUp(session);
    return session;
  }

  #lost(session: Session): void {
    if (this.#up !== session) return;
    this.#up = undefined;
    this.#options.onDown();
    this.#retryLater();
  }

  #retryLater(): void {
    if (this.#closed || this.#attempt !== undefined) return;
    const { clock } = this.#options;
    const most = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    // Half of it by chance, so that a fleet does not come back in step.
    const delay = most / 2 + (clock.random53() % 1024) * (most / 2048);
    this.#cancelRetry?.();
    this.#cancelRetry = clock.after(delay, () => {
      void this.connect().catch(() => {});
    });
  }
}
