// The same tests by the next major version of OpenAI's package, which runs on Node 22 and newer.
jest.mock('openai', () => jest.requireActual('openai7'));

const specs = [
  './files.int.spec',
  './fine-tuning.int.spec',
  '../completions/completions.int.spec',
  '../completions/broken-streams.int.spec',
];
const node = Number(process.versions.node.split('.')[0]);

if (node >= 22) for (const spec of specs) describe(spec, () => void jest.requireActual(spec));
else it.skip(`with openai 7: needs Node 22, this is ${process.version}`, () => undefined);
