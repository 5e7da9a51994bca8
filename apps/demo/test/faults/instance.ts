/**
 * One process of the service, as a client sees it: the routes by name, and how long each answer
 * took. It judges nothing: a status is for the test.
 */
import { z } from 'zod';
import { type Turn, turnSchema } from '../../src/conversations.ts';
import type { ServiceProcess } from '../support/service.ts';

/** What came back, read to its end. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
  /** From sending to the last byte. */
  readonly ms: number;
}

/** A conversation as it was read. */
export interface Heard {
  readonly tier: string | null;
  readonly turns: readonly Turn[];
  readonly metadata: Readonly<Record<string, unknown>>;
}

const heardSchema = z.object({
  turns: z.array(turnSchema),
  metadata: z.record(z.string(), z.unknown()),
});

/** Of `GET /cache/metrics`, what the tests look at. */
export interface Stats {
  readonly tiers: {
    readonly l2: { readonly timeouts: number; readonly breaker: { readonly state: string } };
    readonly l3: { readonly latencyMs: { readonly p50: number; readonly p99: number } };
  };
  readonly bus: { readonly connected: boolean };
}

const statsSchema: z.ZodType<Stats> = z.object({
  tiers: z.object({
    l2: z.object({ timeouts: z.int(), breaker: z.object({ state: z.string() }) }),
    l3: z.object({ latencyMs: z.object({ p50: z.number(), p99: z.number() }) }),
  }),
  bus: z.object({ connected: z.boolean() }),
});

const syncSchema = z.object({ pending: z.int(), inFlight: z.int() });

const copiesSchema = z.object({ l1: z.unknown().optional(), l2: z.unknown().optional() });

export class Instance {
  /** For messages. */
  readonly name: string;
  readonly service: ServiceProcess;

  constructor(name: string, service: ServiceProcess) {
    this.name = name;
    this.service = service;
  }

  async ask(method: string, path: string, body?: unknown, token?: string): Promise<Answer> {
    const sentAt = performance.now();
    const answer = await fetch(`${this.service.url}${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    const isJson = answer.headers.get('content-type')?.includes('json') ?? false;
    return {
      status: answer.status,
      headers: answer.headers,
      body: isJson ? JSON.parse(text) : text,
      ms: performance.now() - sentAt,
    };
  }

  admin(method: string, path: string): Promise<Answer> {
    return this.ask(method, path, undefined, this.service.adminToken);
  }

  begin(id: string): Promise<Answer> {
    return this.ask('POST', '/conversations', { id });
  }

  say(id: string, turn: string): Promise<Answer> {
    return this.ask('POST', `/conversations/${id}/turns`, said(turn));
  }

  /** @throws where the answer is not a conversation */
  async read(id: string): Promise<Heard> {
    return heardFrom(await this.ask('GET', `/conversations/${id}`));
  }

  hangup(id: string): Promise<Answer> {
    return this.ask('POST', `/conversations/${id}/hangup`);
  }

  /** Keys that this instance holds for L3. */
  async pending(): Promise<number> {
    return syncSchema.parse((await this.admin('GET', '/admin/cache/sync')).body).pending;
  }

  async stats(): Promise<Stats> {
    return statsSchema.parse((await this.ask('GET', '/cache/metrics')).body);
  }

  /** Its breaker is closed and it hears the others: L1 may be served. */
  async isHealthy(): Promise<boolean> {
    const { tiers, bus } = await this.stats();
    return tiers.l2.breaker.state === 'CLOSED' && bus.connected;
  }

  /** How often its breaker came to each state. */
  async transitions(): Promise<Readonly<Record<'CLOSED' | 'OPEN' | 'HALF_OPEN', number>>> {
    const text = z.string().parse((await this.ask('GET', '/metrics')).body);
    const of = (state: string) =>
      Number(
        new RegExp(`^cache_breaker_transitions_total\\{to="${state}"\\} (\\d+)$`, 'm').exec(
          text,
        )?.[1] ?? 0,
      );
    return { CLOSED: of('CLOSED'), OPEN: of('OPEN'), HALF_OPEN: of('HALF_OPEN') };
  }

  /** Which of this instance's L1 and Redis hold a copy of the key. */
  async copies(namespace: string, key: string): Promise<readonly string[]> {
    const { body } = await this.admin('GET', `/admin/cache/entries/${namespace}/${key}`);
    return Object.entries(copiesSchema.parse(body)).flatMap(([tier, copy]) =>
      copy === undefined ? [] : [tier],
    );
  }
}

/** A turn with everything that it says made from its id. */
export function said(id: string): Turn {
  return { id, role: 'caller', text: `this is ${id}`, at: 1 };
}

/** @throws where the answer is not a conversation */
export function heardFrom({ status, headers, body }: Answer): Heard {
  if (status !== 200) throw new Error(`a read was answered ${status}: ${JSON.stringify(body)}`);
  return { tier: headers.get('x-cache'), ...heardSchema.parse(body) };
}
