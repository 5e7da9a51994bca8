/**
 * Where a walk through a value is: a chain of the containers above, each with the key that the
 * walk is at. It finds cycles, bounds depth and size, and names the path of an offending part.
 * One small object for each container, none for a part, so that values that are fine, nearly
 * all, pay next to nothing for a good message.
 */
import { CodecError } from '../errors.ts';
import { MAX_PAYLOAD_BYTES } from './payload.ts';

/** The deepest nesting that can be stored. */
export const MAX_DEPTH = 500;

const LONGEST_PATH = 200;

/** The parts that one value may have, the parts of parts included: what is not stored as bytes. */
export const MAX_PARTS = 1_000_000;

/** One walk through one value. */
export class Walk {
  readonly #what: string;
  #parts = 0;
  #text = 0;

  /** `what` ends the sentence "Date does not survive …". */
  constructor(what: string) {
    this.#what = what;
  }

  /** Steps into a container below `parent`. Throws where it is its own ancestor or too deep. */
  enter(container: object, parent: Place | undefined, parts: number, cycles: boolean): Place {
    const depth = parent === undefined ? 1 : parent.depth + 1;
    if (depth > MAX_DEPTH) throw this.refuse(parent, `nested deeper than ${MAX_DEPTH}`);
    // Shared parts are visited once for each way to them, which can double at every level.
    this.#parts += parts;
    if (this.#parts > MAX_PARTS) throw this.refuse(parent, `more than ${MAX_PARTS} parts`);
    if (!cycles) {
      for (let above = parent; above !== undefined; above = above.parent) {
        if (above.container === container) throw this.refuse(parent, 'a cycle', true);
      }
    }
    return { parent, container, key: '', depth };
  }

  /** Counts text, which is copied nowhere but becomes as many bytes at least. */
  text(length: number, place: Place | undefined): void {
    this.#text += length;
    if (this.#text > MAX_PAYLOAD_BYTES) throw this.refuse(place, 'too much text to be stored');
  }

  /** The error for the part that `place` is at. */
  refuse(place: Place | undefined, problem: string, survives = false): CodecError {
    const why = survives ? `${problem} does not survive ${this.#what}` : problem;
    return new CodecError(`${pathOf(place)}: ${why}`);
  }
}

/** A container on the way down, and the key that the walk is at in it. */
export interface Place {
  readonly parent: Place | undefined;
  readonly container: object;
  key: string | number;
  readonly depth: number;
}

/** `$.caller.dates[2]`; a long path keeps its end. */
function pathOf(place: Place | undefined): string {
  const steps: string[] = [];
  let length = 0;
  for (let at = place; at !== undefined; at = at.parent) {
    const step = stepOf(at.key);
    length += step.length;
    if (length > LONGEST_PATH) return `$…${steps.reverse().join('')}`;
    steps.push(step);
  }
  return `$${steps.reverse().join('')}`;
}

function stepOf(key: string | number): string {
  if (typeof key === 'number') return `[${key}]`;
  if (/^[A-Za-z_$][\w$]*$/.test(key)) return `.${key}`;
  return `[${JSON.stringify(key.length > 64 ? `${key.slice(0, 64)}…` : key)}]`;
}

/** What to call a part that can't be stored; a kind, never the part itself. */
export function nameOfKind(value: unknown): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (typeof value !== 'object' || value === null) return typeof value;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (typeof prototype !== 'object' || prototype === null) return 'an object';
  const made: unknown = Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value;
  return typeof made === 'function' && made.name !== '' ? made.name : 'an object of a class';
}

/** An object that is only its own named properties, whichever realm it comes from. */
export function isPlainObject(value: object): value is Readonly<Record<string, unknown>> {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return true;
  return (
    typeof prototype === 'object' &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, 'isPrototypeOf')
  );
}

/** An array that is no instance of a subclass: only `Array.prototype` is an array itself. */
export function isPlainArray(value: readonly unknown[]): boolean {
  return Array.isArray(Object.getPrototypeOf(value));
}
