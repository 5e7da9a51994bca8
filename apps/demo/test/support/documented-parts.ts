/**
 * Which test file answers for which of the documented paths: each sees only what its own requests
 * produced, so together they have to answer for all of them, and none for another's.
 */
import type { WalkedDocument } from '../../../../packages/http/test/support/route-coverage.ts';

/** What files other than `http.test.ts` answer for, by their names. */
const ELSEWHERE: Readonly<Record<string, readonly string[]>> = {
  'callers.test.ts': ['/callers/{phone}'],
  'dead-letters.test.ts': [
    '/admin/cache/dead-letters',
    '/admin/cache/dead-letters/{id}',
    '/admin/cache/dead-letters/{id}/retry',
  ],
  'speech.test.ts': ['/speech', '/speech/{key}', '/conversations/{id}/turns/{turn}/speech'],
  // Of @cache/audio, which answers for its own routes.
  'routes.test.ts': [
    '/admin/audio-cache/stats',
    '/admin/audio-cache',
    '/admin/audio-cache/entry',
    '/admin/audio-cache/cleanup',
    '/api/audio-cache/stats',
    '/api/audio-cache/clear',
  ],
};

/** The part of the document that a test file answers for; `http.test.ts`: what nobody else does. */
export function partOf(document: WalkedDocument, file: string): WalkedDocument {
  const others = Object.values(ELSEWHERE).flat();
  const named = ELSEWHERE[file] ?? [];
  const missing = named.filter((path) => document.paths[path] === undefined);
  if (missing.length > 0) throw new Error(`${file} answers for what is not there: ${missing}`);
  const isIts = (path: string) =>
    file === 'http.test.ts' ? !others.includes(path) : named.includes(path);
  const paths = Object.entries(document.paths).filter(([path]) => isIts(path));
  return { ...document, paths: Object.fromEntries(paths) };
}
