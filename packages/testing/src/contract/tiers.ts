/**
 * What the contract asks of a tier, as structure: the commands of `SharedTier` and `DurableTier`
 * of @cache/core that it tries. A tier that implements those fits these; nothing is imported, so
 * that this package serves the other without depending on it.
 */

export interface ContractAddress {
  readonly namespace: string;
  readonly key: string;
  /** `namespace/key`. */
  readonly id: string;
}

export interface ContractStamp {
  readonly version: number;
  readonly intent: number;
}

export interface ContractScope {
  readonly kind: string;
  readonly id: string;
}

export interface ContractPayload {
  readonly codec: 'json' | 'bytes' | 'structured' | 'encrypted';
  readonly bytes: Uint8Array;
}

export interface ContractValue extends ContractStamp {
  readonly kind: 'value';
  readonly address: ContractAddress;
  readonly payload: ContractPayload | undefined;
  readonly expiresAt: number;
  readonly scope: ContractScope | undefined;
  readonly tags: readonly string[];
}

export interface ContractItem {
  readonly id: string;
  readonly version: number;
  readonly payload: ContractPayload;
}

export interface ContractLog {
  readonly kind: 'log';
  readonly address: ContractAddress;
  readonly items: readonly ContractItem[];
  readonly erasedTo: number;
  readonly scope: ContractScope | undefined;
}

interface Signalled {
  readonly signal?: AbortSignal | undefined;
}

/** Any reply of a tier: the contract looks at its status and at what belongs to that. */
export interface ContractReply {
  readonly status: string;
}

export interface ContractRead {
  readonly entry: object | undefined;
  readonly meta: { readonly epoch: number; readonly cut: number };
}

interface Created {
  readonly cut: number;
  readonly proven: boolean;
}

/** The commands of an L2 that the contract tries. */
export interface ContractSharedTier {
  read(addresses: readonly ContractAddress[], o?: Signalled): Promise<readonly ContractRead[]>;
  put(
    puts: readonly {
      readonly write: ContractValue | ContractLog;
      readonly create?: Created | undefined;
    }[],
    o?: Signalled,
  ): Promise<readonly ContractReply[]>;
  append(
    appends: readonly { readonly write: ContractLog; readonly create?: Created | undefined }[],
    o?: Signalled,
  ): Promise<readonly ContractReply[]>;
  backfill(
    fills: readonly (
      | { readonly kind: 'value'; readonly write: ContractValue; readonly cut: number }
      | { readonly kind: 'log'; readonly write: ContractLog; readonly cut: number }
    )[],
    o?: Signalled,
  ): Promise<readonly string[]>;
  putSettled(writes: readonly ContractValue[], o?: Signalled): Promise<readonly string[]>;
  settle(
    settles: readonly (
      | ({ readonly kind: 'value'; readonly address: ContractAddress } & ContractStamp)
      | {
          readonly kind: 'log';
          readonly address: ContractAddress;
          readonly items: readonly { readonly id: string; readonly version: number }[];
          readonly erasedTo: number;
          readonly others: boolean;
        }
    )[],
    o?: Signalled,
  ): Promise<readonly string[]>;
  drop(
    drops: readonly { readonly address: ContractAddress; readonly newer: ContractStamp }[],
    o?: Signalled,
  ): Promise<readonly string[]>;
  repair(
    repairs: readonly {
      readonly address: ContractAddress;
      readonly kind: 'value' | 'log';
      readonly stamp: ContractStamp;
    }[],
    o?: Signalled,
  ): Promise<readonly string[]>;
  forget(addresses: readonly ContractAddress[], o?: Signalled): Promise<readonly string[]>;
  purge(
    purges: readonly { readonly address: ContractAddress; readonly version: number }[],
    o?: Signalled,
  ): Promise<readonly string[]>;
  pending(
    before: number,
    limit: number,
    o?: Signalled,
  ): Promise<{ readonly addresses: readonly ContractAddress[] }>;
}

/** The commands of an L3 that the contract tries. */
export interface ContractDurableTier {
  read(
    addresses: readonly ContractAddress[],
    o?: Signalled,
  ): Promise<readonly (ContractValue | undefined)[]>;
  readLogs(
    addresses: readonly ContractAddress[],
    o?: Signalled & {
      readonly slice?: { readonly last?: number | undefined; readonly after?: string | undefined };
    },
  ): Promise<
    readonly ({ readonly items: readonly ContractItem[]; readonly erasedTo: number } | undefined)[]
  >;
  apply(
    rows: readonly {
      readonly write: ContractValue;
      readonly mark: boolean;
      readonly absent?: boolean | undefined;
    }[],
    o?: Signalled,
  ): Promise<readonly ContractReply[]>;
  insert(
    rows: readonly {
      readonly write: ContractLog;
      readonly mark: boolean;
      readonly absent?: boolean | undefined;
    }[],
    o?: Signalled,
  ): Promise<readonly ContractReply[]>;
  compareAndSet(
    write: ContractValue,
    base: ContractStamp | undefined,
    o?: Signalled,
  ): Promise<ContractReply>;
  marks(
    limit: number,
    after?: number | undefined,
    o?: Signalled,
  ): Promise<
    readonly {
      readonly id: number;
      readonly address: ContractAddress;
      readonly stamp: ContractStamp;
    }[]
  >;
  unmark(ids: readonly number[], o?: Signalled): Promise<void>;
  maxVersion(o?: Signalled): Promise<number>;
  scope(
    scope: ContractScope,
    o?: Signalled,
  ): Promise<readonly { readonly address: ContractAddress }[]>;
  erase(
    scope: ContractScope,
    version: number,
    o?: Signalled,
  ): Promise<{ readonly records: number; readonly items: number }>;
}
