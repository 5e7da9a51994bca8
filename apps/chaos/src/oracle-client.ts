/** The oracle, as the conductor gives it orders. */
import type { ServerProcess } from '@cache/testing';
import { postJson } from './json-http.ts';
import {
  type Findings,
  findingsSchema,
  type InstanceAddress,
  markSchema,
  type OracleSettings,
  type Order,
  savedSchema,
  unsavedSchema,
} from './protocol.ts';
import { listeningAt, startProgram } from './stage.ts';

/** An audit of twenty cycles takes a while. */
const PATIENCE_MS = 280_000;

export class OracleClient implements AsyncDisposable {
  readonly url: string;
  readonly #process: ServerProcess;

  private constructor(process: ServerProcess) {
    this.#process = process;
    this.url = listeningAt(process);
  }

  static async start(settings: OracleSettings): Promise<OracleClient> {
    return new OracleClient(await startProgram('the oracle', 'oracle.ts', settings));
  }

  async up(instance: InstanceAddress): Promise<void> {
    await this.#order({ order: 'up', instance });
  }

  async down(id: string): Promise<void> {
    await this.#order({ order: 'down', id });
  }

  async begin(cycle: number): Promise<void> {
    await this.#order({ order: 'begin', cycle });
  }

  async rest(): Promise<void> {
    await this.#order({ order: 'rest' });
  }

  async fault(id: number, fault: string, on: boolean): Promise<void> {
    await this.#order({ order: 'fault', id, fault, on });
  }

  /** `look`: Supabase is asked first, now. */
  async unsaved(by: string | undefined, look: boolean): Promise<number> {
    const order = { order: 'unsaved', look, ...(by === undefined ? {} : { by }) } as const;
    return unsavedSchema.parse(await this.#order(order)).writes;
  }

  async mark(): Promise<number> {
    return markSchema.parse(await this.#order({ order: 'mark' })).mark;
  }

  async isSaved(mark: number): Promise<boolean> {
    return savedSchema.parse(await this.#order({ order: 'saved', mark })).saved;
  }

  /** Cycle 0: all of them, the instances in samples. */
  async audit(cycle: number, instances: readonly InstanceAddress[]): Promise<void> {
    await this.#order({ order: 'audit', cycle, instances: [...instances] });
  }

  async violation(guarantee: string, what: string): Promise<void> {
    await this.#order({ order: 'violation', guarantee, what });
  }

  async report(): Promise<Findings> {
    return findingsSchema.parse(await this.#order({ order: 'report' }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.kill();
  }

  async #order(order: Order): Promise<unknown> {
    return await postJson(this.url, order, PATIENCE_MS);
  }
}
