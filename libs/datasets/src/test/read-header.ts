// Reads the header of a file in a process of its own, and says what came of it and how much memory that took at its most.
import { readFileSync } from 'node:fs';
import { readSafetensorsHeader } from '../safetensors';

/** Of this process: resourceUsage().maxRSS is its parent's where that had more. */
const peakKibibytes = () =>
  Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
const before = process.memoryUsage.rss();
void readSafetensorsHeader(process.argv[2] ?? '', 'hostile')
  .then(
    () => 'it was taken',
    (error: Error) => error.message,
  )
  .then((message) => process.send?.({ message, bytes: 1024 * peakKibibytes() - before }));
