/**
 * Nothing outlives the process that started it. Servers run detached, so that Ctrl-C reaches
 * the application and not the database under it; the price is that nobody stops them where the
 * application is killed. So a small shell holds the other end of a pipe: when the pipe closes,
 * whatever the reason, it kills what is still registered and removes its directories.
 *
 * SIGKILL alone will do: a server may be frozen.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { holdOpen } from './hold-open.ts';

/** Lines `+pid`, `-pid`, `>directory`, `<directory`; at the end of input, the sweep. */
const SCRIPT = `
pids=' '
dirs=''
while IFS= read -r line; do
  arg=\${line#?}
  case $line in
    +*) pids="$pids$arg " ;;
    -*) case $pids in *" $arg "*) pids="\${pids%%" $arg "*} \${pids#*" $arg "}" ;; esac ;;
    '>'*) dirs="$dirs$arg
" ;;
    '<'*) kept=''
      while IFS= read -r dir; do
        if [ -n "$dir" ] && [ "$dir" != "$arg" ]; then kept="$kept$dir
"; fi
      done <<END
$dirs
END
      dirs=$kept ;;
  esac
done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
while IFS= read -r dir; do
  if [ -n "$dir" ]; then rm -rf -- "$dir"; fi
done <<END
$dirs
END
`;

let watchdog: ChildProcess | undefined;

function tell(line: string): void {
  if (watchdog === undefined) {
    const started = spawn('/bin/sh', ['-c', SCRIPT], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    started.on('error', () => {});
    started.stdin.on('error', () => {});
    holdOpen(started, false);
    watchdog = started;
  }
  watchdog.stdin?.write(`${line}\n`);
}

/** From now on `pid` dies with this process. */
export function watchProcess(pid: number): void {
  tell(`+${pid}`);
}

/** `pid` is gone; its number may be another's soon. */
export function forgetProcess(pid: number): void {
  tell(`-${pid}`);
}

/** From now on `directory` is removed with this process. */
export function watchDirectory(directory: string): void {
  tell(`>${directory}`);
}

/** `directory` is gone already. */
export function forgetDirectory(directory: string): void {
  tell(`<${directory}`);
}
