/** What ElevenLabs says when it does not speak. */
import { ProviderError } from './provider.ts';

/** An error is a few hundred bytes; of what is longer, this is enough. */
const MAX_READ = 16 * 1024;

/** The answer in the words of a provider; its body is read, and gone, then. */
export async function failedAnswer(answer: Response, now: number): Promise<ProviderError> {
  const code = codeIn(await beginningOf(answer));
  const said = `ElevenLabs answered ${answer.status}${code === undefined ? '' : ` (${code})`}`;
  const retryAfterMs = retryAfter(answer.headers.get('retry-after'), now);
  switch (answer.status) {
    case 401:
    case 402:
    case 403:
      // Also where the account has no characters left: nothing helps but a look at the account.
      return new ProviderError('unauthorized', said);
    case 408:
    case 425:
    case 429:
      return new ProviderError('busy', said, { retryAfterMs });
    default:
      return answer.status >= 500
        ? new ProviderError('unavailable', said, { retryAfterMs })
        : new ProviderError('refused', said);
  }
}

/** Milliseconds; the header has seconds, or a date. `undefined`: it says nothing. */
export function retryAfter(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  if (/^\s*\d{1,9}\s*$/.test(header)) return Number(header) * 1_000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

/** The short code of the error, where it is nothing but that. */
function codeIn(text: string): string | undefined {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    return undefined;
  }
  const detail = fieldOf(said, 'detail');
  const first: unknown = Array.isArray(detail) ? detail[0] : detail;
  const code = fieldOf(first, 'status') ?? fieldOf(first, 'code') ?? fieldOf(first, 'type');
  return typeof code === 'string' && /^[a-z0-9_.]{1,60}$/.test(code) ? code : undefined;
}

function fieldOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return new Map<string, unknown>(Object.entries(value)).get(name);
}

async function beginningOf(answer: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of answer.body ?? []) {
    pieces.push(piece);
    length += piece.byteLength;
    if (length >= MAX_READ) break;
  }
  return Buffer.concat(pieces).toString('utf8', 0, MAX_READ);
}
