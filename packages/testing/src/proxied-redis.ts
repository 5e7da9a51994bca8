/** A Redis as it is seen through a proxy: another port, and every fault of its own. */
import type { Proxy as TcpProxy } from './proxy.ts';
import type { RedisDump, RedisServer, RestartOptions } from './redis.ts';

export class ProxiedRedis implements RedisServer {
  readonly #server: RedisServer;
  readonly #proxy: TcpProxy;

  constructor(server: RedisServer, proxy: TcpProxy) {
    this.#server = server;
    this.#proxy = proxy;
  }

  get url(): string {
    return this.#proxy.through(this.#server.url);
  }

  get port(): number {
    return this.#proxy.port;
  }

  get password(): string | undefined {
    return this.#server.password;
  }

  get pid(): number {
    return this.#server.pid;
  }

  kill(): Promise<void> {
    return this.#server.kill();
  }

  freeze(): void {
    this.#server.freeze();
  }

  thaw(): void {
    this.#server.thaw();
  }

  empty(): Promise<void> {
    return this.#server.empty();
  }

  snapshot(): Promise<RedisDump> {
    return this.#server.snapshot();
  }

  restart(options?: RestartOptions): Promise<void> {
    return this.#server.restart(options);
  }

  async close(): Promise<void> {
    await this.#proxy.close();
    await this.#server.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
