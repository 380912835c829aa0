// Reads the header of a file in a process of its own, and says what came of it and how much memory that took at its most.
import { readSafetensorsHeader } from '../safetensors';

const before = process.memoryUsage.rss();
void readSafetensorsHeader(process.argv[2] ?? '', 'hostile')
  .then(
    () => 'it was taken',
    (error: Error) => error.message,
  )
  .then((message) => process.send?.({ message, bytes: 1024 * process.resourceUsage().maxRSS - before }));
