/** A store that stands still in one verb until it may go on; everything else is that of the other. */
import type { ClipStore } from '../../src/index.ts';

/** `get` has its answer already when it stands still; `put` and `delete` have done nothing yet. */
export function halting(store: ClipStore, verb: 'get' | 'put' | 'delete') {
  const reached = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const at = async (now: typeof verb) => {
    if (now !== verb) return;
    reached.resolve();
    await gate.promise;
  };
  const halted: ClipStore = {
    name: store.name,
    async get(key, call) {
      const clip = await store.get(key, call);
      await at('get');
      return clip;
    },
    async put(key, clip, call) {
      await at('put');
      return await store.put(key, clip, call);
    },
    async delete(key, call) {
      await at('delete');
      return await store.delete(key, call);
    },
    clear: (call) => store.clear(call),
    touch: (key, at, expiresAt) => store.touch(key, at, expiresAt),
    entries: (call) => store.entries(call),
    usage: (call) => store.usage(call),
    exclusively: (work) => store.exclusively(work),
    close: () => store.close(),
  };
  return { store: halted, reached: reached.promise, goOn: gate.resolve };
}
