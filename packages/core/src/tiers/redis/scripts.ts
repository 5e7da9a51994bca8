/**
 * The Lua scripts, each in a file of its own. What works on one entry is prefixed with `lib.lua`,
 * what looks into a log with `frames.lua` too, what is about derived values with `tags.lua` and
 * `derived.lua` or `notes.lua`; behind the shebang, which has to stay the first line.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { busChannel } from './keys.ts';

/** A script as the server is given it, and the name that it goes by there. */
export interface Script {
  readonly text: string;
  readonly sha: string;
  /** As the nodes of a Cluster are given it. */
  readonly sharded: { readonly text: string; readonly sha: string };
}

/**
 * `one`: one server, and one channel for all. `sharded`: a Cluster, where every shard has a channel
 * on the node that it is on. What is published to all nodes of a Cluster may be lost between them.
 */
export type Dialect = 'one' | 'sharded';

/** One execution of a script. */
export interface ScriptCall {
  readonly script: Script;
  readonly keys: readonly string[];
  readonly args: readonly (string | Buffer)[];
}

/** 'c:{00}' of the first key, and the channel of that shard. */
const OWN_CHANNEL = "string.sub(KEYS[1], 1, 6) .. ':b'";

function lua(url: URL): string {
  return readFileSync(url, 'utf8');
}

const lib = lua(new URL('./lib.lua', import.meta.url));
const frames = lua(new URL('./frames.lua', import.meta.url));
const tags = lua(new URL('./tags.lua', import.meta.url));
const derived = lua(new URL('./derived.lua', import.meta.url));
const notes = lua(new URL('./notes.lua', import.meta.url));

function alone(text: string): Script {
  const sharded = inCluster(text);
  return { text, sha: shaOf(text), sharded: { text: sharded, sha: shaOf(sharded) } };
}

function shaOf(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}

/**
 * The same script, but what it publishes goes to the channel of its shard: every one that
 * publishes works on keys of one, and the first says which. Replaced in the text, because a
 * function more in each script costs every execution on a single server a closure.
 */
function inCluster(text: string): string {
  return text
    .replaceAll("redis.call('PUBLISH', 'c:bus', ", `redis.call('SPUBLISH', ${OWN_CHANNEL}, `)
    .replaceAll("'c:bus'", `'${busChannel(0)}'`)
    .replaceAll("{ 'SUBSCRIBE'", "{ 'CLUSTER', 'NODES' },\n  { 'SSUBSCRIBE'")
    .replaceAll("{ 'PUBLISH'", "{ 'SPUBLISH'");
}

/** How a script is said to a server. */
export function spoken(script: Script, dialect: Dialect): Script['sharded'] {
  return dialect === 'one' ? script : script.sharded;
}

function behindShebang(text: string, prelude: string): Script {
  const end = text.indexOf('\n') + 1;
  return alone(text.slice(0, end) + prelude + text.slice(end));
}

function onEntry(text: string): Script {
  return behindShebang(text, lib);
}

function onFrames(text: string): Script {
  return behindShebang(text, lib + frames);
}

function onDerived(text: string): Script {
  return behindShebang(text, lib + tags + derived);
}

function onNotes(text: string): Script {
  return behindShebang(text, lib + tags + notes);
}

export type ScriptName =
  | 'put'
  | 'append'
  | 'backfill'
  | 'putSettled'
  | 'settle'
  | 'settleLog'
  | 'drop'
  | 'repair'
  | 'forget'
  | 'purge'
  | 'derivedTake'
  | 'derivedFill'
  | 'derivedPlace'
  | 'derivedRemove'
  | 'derivedExtend'
  | 'derivedLetGo'
  | 'derivedInvalidate'
  | 'derivedErase'
  | 'epoch'
  | 'permissions'
  | 'heartbeat'
  | 'lease';

export const scripts: Readonly<Record<ScriptName, Script>> = Object.freeze({
  put: onEntry(lua(new URL('./put.lua', import.meta.url))),
  append: onFrames(lua(new URL('./append.lua', import.meta.url))),
  backfill: onFrames(lua(new URL('./backfill.lua', import.meta.url))),
  putSettled: onEntry(lua(new URL('./put-settled.lua', import.meta.url))),
  settle: onEntry(lua(new URL('./settle.lua', import.meta.url))),
  settleLog: onFrames(lua(new URL('./settle-log.lua', import.meta.url))),
  drop: onEntry(lua(new URL('./drop.lua', import.meta.url))),
  repair: onEntry(lua(new URL('./repair.lua', import.meta.url))),
  forget: onEntry(lua(new URL('./forget.lua', import.meta.url))),
  purge: onFrames(lua(new URL('./purge.lua', import.meta.url))),
  derivedTake: onDerived(lua(new URL('./derived-take.lua', import.meta.url))),
  derivedFill: onDerived(lua(new URL('./derived-fill.lua', import.meta.url))),
  derivedPlace: onDerived(lua(new URL('./derived-place.lua', import.meta.url))),
  derivedRemove: onDerived(lua(new URL('./derived-remove.lua', import.meta.url))),
  derivedExtend: onDerived(lua(new URL('./derived-extend.lua', import.meta.url))),
  derivedLetGo: onDerived(lua(new URL('./derived-let-go.lua', import.meta.url))),
  derivedInvalidate: onNotes(lua(new URL('./derived-invalidate.lua', import.meta.url))),
  derivedErase: onNotes(lua(new URL('./derived-erase.lua', import.meta.url))),
  epoch: alone(lua(new URL('./epoch.lua', import.meta.url))),
  permissions: alone(lua(new URL('./permissions.lua', import.meta.url))),
  heartbeat: alone(lua(new URL('./heartbeat.lua', import.meta.url))),
  lease: alone(lua(new URL('./lease.lua', import.meta.url))),
});
