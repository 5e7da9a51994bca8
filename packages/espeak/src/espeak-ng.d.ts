/** The npm package `espeak-ng` 1.0.2: the program, compiled to WebAssembly, run once per call. */
declare module 'espeak-ng' {
  interface FileSystem {
    writeFile(path: string, bytes: Uint8Array): void;
    readFile(path: string): Uint8Array;
  }
  interface Program {
    readonly FS: FileSystem;
  }
  interface Options {
    readonly arguments: readonly string[];
    readonly print: (line: string) => void;
    readonly printErr: (line: string) => void;
    readonly preRun: readonly ((program: Program) => void)[];
    readonly instantiateWasm: (
      imports: object,
      done: (instance: object, module: object) => void,
    ) => object;
  }
  // biome-ignore lint/style/noDefaultExport: it is what the package has
  export default function run(options: Options): Promise<Program>;
}

/** What of it is used here: Node has it, its types leave it to the browser's. */
declare const WebAssembly: {
  compile(bytes: Uint8Array): Promise<object>;
  instantiate(module: object, imports: object): Promise<object>;
};
