// Whatever takes long begins first, so that no process is left alone with it at the end of the run. Jest knows how long a file took
// when it ran before; of a fresh clone it knows only how large files are, and the smallest of all drives a browser for minutes.
import Sequencer from '@jest/test-sequencer';

/** From what takes longest; what is of none comes last. */
const kinds = [/\.browser\.spec\.ts$/, /\/apps\/(worker|trainer)\/.*\.int\.spec\.ts$/, /\.int\.spec\.ts$/];

function rankOf({ path }) {
  const rank = kinds.findIndex((kind) => kind.test(path));
  return rank === -1 ? kinds.length : rank;
}

export default class LongestFirst extends Sequencer {
  sort(tests) {
    return super.sort(tests).sort((a, b) => rankOf(a) - rankOf(b));
  }
}
