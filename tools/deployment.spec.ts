import { variableNames } from '@lowrank/config';
import Ajv2020 from 'ajv/dist/2020';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { defaultTimings } from '../apps/worker/src/settings';
import { manifestSchemas } from './manifest-schemas';

const root = join(__dirname, '..');
const folder = join(root, 'deploy/kubernetes');
const read = (file: string) => readFileSync(file, 'utf8');

interface Container {
  name: string;
  env?: { name: string; value?: string }[];
  resources: { requests: object; limits: object };
  securityContext: object;
  volumeMounts: { mountPath: string }[];
}
interface PodSpec {
  containers: Container[];
  securityContext: object;
  terminationGracePeriodSeconds?: number;
}
interface Manifest {
  kind: string;
  metadata: { name: string; labels?: Record<string, string> };
  data?: Record<string, string>;
  spec: {
    selector?: { matchLabels: Record<string, string> };
    scaleTargetRef?: { name: string };
    triggers?: { metadata: { query: string } }[];
    template?: { metadata: { labels: Record<string, string> }; spec: PodSpec };
  };
  resources?: string[];
}

const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.yaml'))
  .map((name) => join(folder, name));
const manifests = files.flatMap((file) =>
  parseAllDocuments(read(file)).map((document) => ({ file, ...(document.toJS() as Manifest) })),
);
const ofKind = (...kinds: string[]) => manifests.filter(({ kind }) => kinds.includes(kind));
const pods = ofKind('Deployment', 'StatefulSet', 'Job').map(({ metadata, spec }) => ({
  name: metadata.name,
  spec: spec.template?.spec as PodSpec,
}));
const workers = pods.filter(({ name }) => name.startsWith('worker'));

const isKnown = (name: string): boolean => variableNames.includes(name) || name.startsWith('OTEL_');

describe('Kubernetes manifests', () => {
  it('leave out no file', () => {
    const listed = ofKind('Kustomization').flatMap(({ file, resources = [] }) =>
      resources
        .map((name) => join(dirname(file), name))
        .map((path) => (path.endsWith('.yaml') ? path : join(path, 'kustomization.yaml'))),
    );
    const tops = ['migrate', 'overlays/gpu'].map((name) => join(folder, name, 'kustomization.yaml'));
    expect([...new Set([...listed, ...tops])].sort()).toEqual([...files].sort());
  });

  describe.each(['ScaledObject', 'Kustomization'] as const)('of kind %s', (kind) => {
    const validate = new Ajv2020({ allErrors: true }).compile(manifestSchemas[kind]);
    const own = ofKind(kind).map(({ file, ...manifest }) => [relative(folder, file), manifest] as const);

    it.each(own)('have in %s only what there is', (_file, manifest) => {
      validate(manifest);
      expect(validate.errors).toBeNull();
    });

    it('would be refused with a field more, anywhere', () => {
      const withMore = (value: unknown): unknown[] => {
        if (typeof value !== 'object' || value === null) return [];
        const inside = Object.entries(value).flatMap(([name, part]) =>
          withMore(part).map((changed) => Object.assign(structuredClone(value), { [name]: changed })),
        );
        return Array.isArray(value) ? inside : [{ ...value, misspelt: 1 }, ...inside];
      };
      const changed = own.flatMap(([, manifest]) => withMore(manifest));
      expect(changed.length).toBeGreaterThan(own.length);
      for (const manifest of changed) expect([validate(manifest), manifest]).toEqual([false, manifest]);
    });
  });

  it('has in its README a kustomization that is one', () => {
    const [, example = ''] = /```yaml\n(# kustomization[^]*?)```/.exec(read(join(folder, 'README.md'))) ?? [];
    const validate = new Ajv2020().compile(manifestSchemas.Kustomization);
    validate(parse(example));
    expect(validate.errors).toBeNull();
  });

  it('name variables that the product reads', () => {
    const named = [
      ...ofKind('ConfigMap').flatMap(({ data = {} }) => Object.keys(data)),
      ...pods.flatMap(({ spec }) => spec.containers.flatMap(({ env = [] }) => env.map(({ name }) => name))),
      ...[...read(join(folder, 'README.md')).matchAll(/\b(?:LOWRANK|S3|REDIS|DATABASE)_[A-Z0-9_]+/g)].map(
        ([name]) => name,
      ),
    ];
    expect(named.length).toBeGreaterThan(15);
    expect(named.filter((name) => !isKnown(name))).toEqual([]);
  });

  it.each(pods)(
    'runs $name as nobody in particular, with limits, on a root that it cannot write',
    ({ spec }) => {
      expect(spec.securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      for (const { resources, securityContext, volumeMounts } of spec.containers) {
        for (const bound of [resources.requests, resources.limits])
          expect(bound).toMatchObject({ cpu: expect.any(String), memory: expect.any(String) });
        expect(securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(volumeMounts.map(({ mountPath }) => mountPath)).toEqual(['/data', '/tmp']);
      }
    },
  );

  it.each(workers)('gives $name the time that a drain takes', ({ spec }) => {
    const drainMs = defaultTimings.drainGrace + defaultTimings.stopGrace;
    expect((spec.terminationGracePeriodSeconds ?? 30) * 1000).toBeGreaterThan(drainMs);
  });

  it('selects what there is: deployments their pods, budgets and scalers their deployments', () => {
    const deployments = ofKind('Deployment', 'StatefulSet');
    for (const { spec } of deployments)
      expect(spec.template?.metadata.labels).toEqual(spec.selector?.matchLabels);
    const labels = deployments.map(({ metadata }) => metadata.labels);
    const budgets = ofKind('PodDisruptionBudget');
    expect(budgets.map(({ spec }) => spec.selector?.matchLabels)).toEqual(labels);
    const scaled = ofKind('ScaledObject').map(({ spec }) => spec.scaleTargetRef?.name);
    expect(scaled.sort()).toEqual(workers.map(({ name }) => name).sort());
  });

  it('scales by metrics that the API has, of the class that the workers are of', () => {
    const metrics = read(join(root, 'apps/api/src/metrics/platform-metrics.ts'));
    for (const { file, spec } of ofKind('ScaledObject')) {
      const query = spec.triggers?.[0]?.metadata.query ?? '';
      for (const [name] of query.matchAll(/lowrank_\w+/g)) expect(metrics).toContain(`'${name}'`);
      const [, own] = /lowrank_slots\{device_class="([^"]+)"/.exec(query) ?? [];
      const beside = manifests.find(
        (other) => dirname(other.file) === dirname(file) && other.kind === 'Deployment',
      );
      const env = beside?.spec.template?.spec.containers[0]?.env ?? [];
      expect(env).toContainEqual({ name: 'LOWRANK_DEVICE_CLASS', value: own });
    }
  });
});

describe('the Compose file', () => {
  type Service = { environment?: Record<string, string>; image: string; stop_grace_period?: string };
  const { services } = parse(read(join(root, 'docker-compose.yml')), { merge: true }) as {
    services: Record<string, Service>;
  };
  const own = Object.entries(services).filter(([, { image }]) => image.startsWith('lowrank-'));

  it('names variables that the product reads', () => {
    const named = own.flatMap(([, { environment = {} }]) => Object.keys(environment));
    expect(named).toContain('LOWRANK_WORKER_METRICS_PORT');
    expect(named.filter((name) => !isKnown(name))).toEqual([]);
  });

  it('asks for variables that the example explains', () => {
    const asked = [...read(join(root, 'docker-compose.yml')).matchAll(/\$\{([A-Z0-9_]+)/g)].map(
      ([, name]) => name,
    );
    const explained = [...read(join(root, '.env.example')).matchAll(/^([A-Z0-9_]+)=/gm)].map(
      ([, name]) => name,
    );
    expect([...new Set(asked)].sort()).toEqual([...new Set(explained)].sort());
  });

  it.each(['worker', 'worker-gpu'])('gives %s the time that a drain takes', (name) => {
    const seconds = Number(services[name]?.stop_grace_period?.replace('s', ''));
    expect(seconds * 1000).toBeGreaterThan(defaultTimings.drainGrace + defaultTimings.stopGrace);
  });
});

it('builds every image that is named', () => {
  const targets = [...read(join(root, 'deploy/images/Dockerfile')).matchAll(/^FROM \S+ AS (\S+)$/gm)].map(
    ([, name]) => `lowrank-${name}:0.1.0`,
  );
  const compose = [...read(join(root, 'docker-compose.yml')).matchAll(/image: (lowrank-\S+)/g)];
  const cluster = files.flatMap((file) => [...read(file).matchAll(/image: (lowrank-\S+)/g)]);
  for (const [, image] of [...compose, ...cluster]) expect(targets).toContain(image);
  expect(cluster.map(([, image]) => image)).toContain('lowrank-worker-cuda:0.1.0');
});

it('has found the manifests', () =>
  expect(files.map((file) => relative(folder, file))).toContain('api/api.yaml'));
