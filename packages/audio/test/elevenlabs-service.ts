/** A server in the place of ElevenLabs: it keeps what it is asked, and answers what the test says. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Provider, ResolvedRequest } from '../src/provider.ts';

export interface Heard {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}

export class ElevenLabsService {
  readonly heard: Heard[] = [];
  answer: (response: ServerResponse, heard: Heard) => void = () => {};
  baseUrl = '';
  readonly #server: Server;

  constructor() {
    this.#server = createServer(async (request, response) => {
      const { method, url, headers } = request;
      const one = { method, url, headers, body: JSON.parse(await text(request)) };
      this.heard.push(one);
      this.answer(response, one);
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    this.baseUrl = `http://127.0.0.1:${address.port}`;
  }

  /** Its answer from now on. */
  says(
    status: number,
    body: string | Buffer,
    headers: Readonly<Record<string, string>> = {},
  ): void {
    this.answer = (response) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(body);
    };
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}

export function request(more: Partial<ResolvedRequest> = {}): ResolvedRequest {
  return {
    tenant: 'hotel',
    provider: 'elevenlabs',
    model: 'eleven_flash_v2_5',
    voice: 'JBFqnCBsd6RMkjVDRZzb',
    settings: {},
    dictionaries: [],
    input: { kind: 'text', text: 'Bienvenido al hotel.' },
    format: { codec: 'mp3', sampleRate: 44_100, bitrate: 128 },
    ...more,
  };
}

/** All the audio of a request. */
export async function speak(
  provider: Provider,
  more: Partial<ResolvedRequest> = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<Buffer> {
  const { audio } = await provider.synthesize(request(more), { signal });
  const pieces: Uint8Array[] = [];
  for await (const piece of audio) pieces.push(piece);
  return Buffer.concat(pieces);
}
