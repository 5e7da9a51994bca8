/**
 * A directory as a machine that loses its power leaves it: what was not synced may be there, in
 * part, or not at all. A process that is killed can't show that, because the system keeps what it
 * wrote; this can.
 */
import type { Disk, DiskFile } from '../../src/write/journal/disk.ts';

interface Content {
  now: Buffer;
  safe: Buffer;
}

/** What may be made to fail. `write` takes half of it first. */
export type DiskStep = 'create' | 'write' | 'cut' | 'sync' | 'remove' | 'syncNames';

const NOTHING = Buffer.alloc(0);

export class ForgetfulDisk implements Disk {
  readonly #names = new Map<string, Content>();
  readonly #safeNames = new Map<string, Content>();
  readonly #failing = new Map<DiskStep, string>();
  /** How often each step was taken. */
  readonly steps: Record<DiskStep, number> = {
    create: 0,
    write: 0,
    cut: 0,
    sync: 0,
    remove: 0,
    syncNames: 0,
  };
  /** Awaited by every sync. */
  gate: Promise<void> = Promise.resolve();

  /** Every such step fails from now on, until {@link heal}. */
  fail(step: DiskStep, code: string): void {
    this.#failing.set(step, code);
  }

  heal(): void {
    this.#failing.clear();
  }

  /** Another program changes a file. */
  plant(name: string, bytes: Buffer): void {
    const content = { now: Buffer.from(bytes), safe: Buffer.from(bytes) };
    this.#names.set(name, content);
    this.#safeNames.set(name, content);
  }

  /** The same directory after the power was lost. `draw` gives numbers from 0 to 1. */
  afterCrash(draw: () => number): ForgetfulDisk {
    const after = new ForgetfulDisk();
    for (const name of new Set([...this.#names.keys(), ...this.#safeNames.keys()])) {
      const content = this.#safeNames.get(name) ?? this.#names.get(name);
      // A name that was not synced, created or removed, is there or is not.
      const isSafe = this.#names.get(name) === this.#safeNames.get(name);
      if (content === undefined || (!isSafe && draw() < 0.5)) continue;
      after.plant(name, survivors(content, draw));
    }
    return after;
  }

  names(): readonly string[] {
    return [...this.#names.keys()];
  }

  readNow(name: string): Buffer {
    return Buffer.from(this.#content(name).now);
  }

  putNow(name: string, bytes: Buffer): void {
    this.plant(name, bytes);
  }

  renameNow(from: string, to: string): void {
    const content = this.#content(from);
    for (const names of [this.#names, this.#safeNames]) {
      names.delete(from);
      names.set(to, content);
    }
  }

  async create(name: string): Promise<DiskFile> {
    this.#step('create');
    if (this.#names.has(name)) throw Object.assign(new Error(name), { code: 'EEXIST' });
    const content = { now: NOTHING, safe: NOTHING };
    this.#names.set(name, content);
    return {
      write: async (bytes, at) => {
        const write = (part: Buffer) => {
          content.now = Buffer.concat([content.now.subarray(0, at), part]);
        };
        try {
          this.#step('write');
        } catch (error) {
          write(bytes.subarray(0, bytes.length >> 1));
          throw error;
        }
        write(bytes);
      },
      cut: async (size) => {
        this.#step('cut');
        content.now = content.now.subarray(0, size);
      },
      sync: async () => {
        const written = content.now;
        await this.gate;
        this.#step('sync');
        content.safe = written;
      },
      close: async () => {},
    };
  }

  async read(name: string): Promise<Buffer> {
    return this.readNow(name);
  }

  async remove(name: string): Promise<void> {
    this.#step('remove');
    this.#names.delete(name);
  }

  async syncNames(): Promise<void> {
    this.#step('syncNames');
    this.#safeNames.clear();
    for (const [name, content] of this.#names) this.#safeNames.set(name, content);
  }

  #step(step: DiskStep): void {
    this.steps[step] += 1;
    const code = this.#failing.get(step);
    if (code !== undefined) throw Object.assign(new Error(`${step} fails`), { code });
  }

  #content(name: string): Content {
    const content = this.#names.get(name);
    if (content === undefined) throw Object.assign(new Error(name), { code: 'ENOENT' });
    return content;
  }
}

/** What was synced, and some of what was not: a part of it, or room for it without its bytes. */
function survivors({ now, safe }: Content, draw: () => number): Buffer {
  if (now.length <= safe.length) return draw() < 0.5 ? now : safe;
  const extra = now.subarray(safe.length);
  const some = Math.floor(draw() * (extra.length + 1));
  const rest = Buffer.alloc(draw() < 0.3 ? extra.length - some : 0);
  return Buffer.concat([safe, extra.subarray(0, some), rest]);
}
