/*
 * JSON schemas of the manifests that the schema linter (.ci/run) has none for. Written by us from the public references of the fields:
 * https://keda.sh/docs/latest/reference/scaledobject-spec, https://keda.sh/docs/latest/scalers/prometheus,
 * https://kubernetes.io/docs/reference/kubernetes-api/autoscaling/horizontal-pod-autoscaler-v2 and
 * https://kubectl.docs.kubernetes.io/references/kustomize/kustomization. They know no field that is not there: a misspelt one would have
 * no effect in a cluster, and nobody would be told.
 */

type Schema = Record<string, unknown>;

const object = (properties: Record<string, Schema>, required: string[] = []): Schema => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
});
const text: Schema = { type: 'string', minLength: 1 };
const flag: Schema = { type: 'boolean' };
const whole = (minimum: number, maximum?: number): Schema => ({
  type: 'integer',
  minimum,
  maximum: maximum ?? 2 ** 31 - 1,
});
const oneOf = (...values: string[]): Schema => ({ enum: values });
const listOf = (items: Schema, minItems = 1): Schema => ({ type: 'array', items, minItems });
const texts: Schema = { type: 'object', additionalProperties: { type: 'string' } };
/** KEDA takes metadata of triggers as text only. */
const numberText: Schema = { type: 'string', pattern: '^\\d+(\\.\\d+)?$' };
const flagText = oneOf('true', 'false');

const scalingRules = object({
  stabilizationWindowSeconds: whole(0, 3600),
  selectPolicy: oneOf('Max', 'Min', 'Disabled'),
  policies: listOf(
    object({ type: oneOf('Pods', 'Percent'), value: whole(1), periodSeconds: whole(1, 1800) }, [
      'type',
      'value',
      'periodSeconds',
    ]),
  ),
});
const behavior = object({ scaleUp: scalingRules, scaleDown: scalingRules });

const prometheus = object(
  {
    serverAddress: { type: 'string', pattern: '^https?://' },
    query: text,
    threshold: numberText,
    activationThreshold: numberText,
    namespace: text,
    customHeaders: text,
    queryParameters: text,
    ignoreNullValues: flagText,
    unsafeSsl: flagText,
    timeout: text,
    authModes: text,
  },
  ['serverAddress', 'query', 'threshold'],
);

const trigger = object(
  {
    type: { const: 'prometheus' },
    name: text,
    metricType: oneOf('AverageValue', 'Value', 'Utilization'),
    useCachedMetrics: flag,
    authenticationRef: object(
      { name: text, kind: oneOf('TriggerAuthentication', 'ClusterTriggerAuthentication') },
      ['name'],
    ),
    metadata: prometheus,
  },
  ['type', 'metadata'],
);

const scaledObject = object(
  {
    apiVersion: { const: 'keda.sh/v1alpha1' },
    kind: { const: 'ScaledObject' },
    metadata: object({ name: text, namespace: text, labels: texts, annotations: texts }, ['name']),
    spec: object(
      {
        scaleTargetRef: object({ apiVersion: text, kind: text, name: text, envSourceContainerName: text }, [
          'name',
        ]),
        pollingInterval: whole(1),
        cooldownPeriod: whole(0),
        initialCooldownPeriod: whole(0),
        idleReplicaCount: whole(0),
        minReplicaCount: whole(0),
        maxReplicaCount: whole(1),
        fallback: object(
          {
            failureThreshold: whole(1),
            replicas: whole(0),
            behavior: oneOf('static', 'currentReplicas', 'currentReplicasIfHigher', 'currentReplicasIfLower'),
          },
          ['failureThreshold', 'replicas'],
        ),
        advanced: object({
          restoreToOriginalReplicaCount: flag,
          horizontalPodAutoscalerConfig: object({ name: text, behavior }),
        }),
        triggers: listOf(trigger),
      },
      ['scaleTargetRef', 'triggers'],
    ),
  },
  ['apiVersion', 'kind', 'metadata', 'spec'],
);

const kustomization = object(
  {
    apiVersion: { const: 'kustomize.config.k8s.io/v1beta1' },
    kind: { const: 'Kustomization' },
    namespace: text,
    labels: listOf(object({ pairs: texts, includeSelectors: flag, includeTemplates: flag }, ['pairs'])),
    resources: listOf(text),
    components: listOf(text),
    images: listOf(object({ name: text, newName: text, newTag: { type: 'string' }, digest: text }, ['name'])),
    patches: listOf(object({ path: text, patch: text, target: { type: 'object' } })),
  },
  ['resources'],
);

export const manifestSchemas = { ScaledObject: scaledObject, Kustomization: kustomization };
