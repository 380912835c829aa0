import './chat.css';
import {
  Autocomplete,
  Button,
  Group,
  Kbd,
  Loader,
  Paper,
  SimpleGrid,
  Stack,
  Text,
  TextInput,
} from '@mantine/core';
import { type Adapter, type AdapterVersion, type BaseModel } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { type KeyboardEvent, useEffect, useRef, useState } from 'react';
import { Icon } from '../../components/icon';
import { PageHeader } from '../../components/page-header';
import { EmptyState } from '../../components/states';
import { TextArea } from '../../components/text-area';
import { formatCount } from '../../lib/format';
import { apiQuery, type Page } from '../../lib/query';
import { type Answer, type Turn } from './conversation';
import { type ChatSearch, type Side, sides } from './routes';
import { defaults, useConversation } from './use-conversation';

const route = getRouteApi('/shell/try');
const sideNames: Record<Side, string> = { left: 'Left', right: 'Right' };

/** The same questions to two models side by side: an adapter and its base, or two versions. */
export function ChatPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const [system, setSystem] = useState('');
  const { turns, isBusy, send, stop, clear } = useConversation(search, system);
  const change = (changes: ChatSearch) =>
    void navigate({ search: (before) => ({ ...before, ...changes }), replace: true });
  const models = useModels();
  const hasModel = sides.some((side) => search[side] !== undefined);
  return (
    <>
      <PageHeader
        title="Try it"
        description="Ask two models the same: an adapter beside its base model, or two versions."
        actions={
          turns.length > 0 && (
            <Button size="xs" variant="default" onClick={clear}>
              Start anew
            </Button>
          )
        }
      />
      <Stack gap="md">
        <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
          {sides.map((side) => (
            <Pane
              key={side}
              side={side}
              model={search[side]}
              models={models}
              choose={(model) => change({ [side]: model })}
              turns={turns}
            />
          ))}
        </SimpleGrid>
        <Composer isBusy={isBusy} canSend={hasModel} send={send} stop={stop} />
        <Group align="end" gap="sm">
          <TextInput
            type="number"
            label="Temperature"
            description="0: always the likeliest"
            min={0}
            max={2}
            step={0.1}
            w={150}
            defaultValue={search.temperature ?? defaults.temperature}
            onChange={({ currentTarget: { value } }) => change({ temperature: numberOf(value) })}
          />
          <TextInput
            type="number"
            label="Most tokens"
            description="of an answer"
            min={1}
            max={131_072}
            step={64}
            w={150}
            defaultValue={search.maxTokens ?? defaults.maxTokens}
            onChange={({ currentTarget: { value } }) => change({ maxTokens: numberOf(value) })}
          />
          <TextArea
            label="System message"
            description="Said to both before everything else; may be empty"
            rows={1}
            value={system}
            onChange={({ currentTarget: { value } }) => setSystem(value)}
            style={{ flex: '1 1 260px' }}
          />
        </Group>
      </Stack>
    </>
  );
}

/** What was typed; undefined: nothing, so that it is as by default. */
const numberOf = (text: string): number | undefined => (text === '' ? undefined : Number(text));

interface Choice {
  group: string;
  items: string[];
}

interface Models {
  bases: string[];
  /** Those that have a version. */
  adapters: Adapter[];
}

function useModels(): Models {
  const bases = useQuery(apiQuery<Page<BaseModel>>('/api/v1/base-models', { limit: 200 }));
  const adapters = useQuery(apiQuery<Page<Adapter>>('/api/v1/adapters', { limit: 200, sort: 'updated' }));
  const ready = (bases.data?.data ?? []).filter(({ status }) => status === 'ready');
  return {
    bases: ready.map(({ name }) => name),
    adapters: (adapters.data?.data ?? []).filter(({ latestVersion }) => latestVersion !== null),
  };
}

const fullName = ({ name, sharedBy }: Adapter): string => (sharedBy === null ? name : `${sharedBy}/${name}`);

/** The models by what they are; of the adapter that was typed or chosen all versions. */
function useChoices({ bases, adapters }: Models, text: string): Choice[] {
  const [wanted] = text.split('@');
  const adapter = adapters.find((one) => fullName(one) === wanted);
  const owner = adapter?.sharedBy ? { team: adapter.sharedBy } : {};
  const versions = useQuery({
    ...apiQuery<{ data: AdapterVersion[] }>(`/api/v1/adapters/${adapter?.name}/versions`, owner),
    enabled: adapter !== undefined,
  });
  const own =
    adapter === undefined
      ? []
      : (versions.data?.data ?? []).map(({ number }) => `${fullName(adapter)}@v${number}`);
  const named = adapters.flatMap((one) => {
    const full = fullName(one);
    return [full, ...one.aliases.map((alias) => `${full}@${alias.name}`), `${full}@v${one.latestVersion}`];
  });
  return [
    { group: `Versions of ${wanted}`, items: own },
    {
      group: 'Adapters',
      items: [...new Set(named)].filter((name) => !bases.includes(name) && !own.includes(name)),
    },
    { group: 'Base models', items: bases },
  ].filter(({ items }) => items.length > 0);
}

interface PaneProps {
  side: Side;
  model: string | undefined;
  models: Models;
  choose: (model: string | undefined) => void;
  turns: Turn[];
}

function Pane({ side, model, models, choose, turns }: PaneProps) {
  const [text, setText] = useState(model ?? '');
  const [shown, setShown] = useState(model);
  if (shown !== model) {
    setShown(model);
    setText(model ?? '');
  }
  const choices = useChoices(models, text);
  const log = useRef<HTMLDivElement>(null);
  const isBusy = ['waiting', 'streaming'].includes(turns.at(-1)?.answers[side]?.state ?? 'done');
  const last = turns.at(-1)?.answers[side]?.text;
  useEffect(() => {
    // Who reads further up stays there.
    const box = log.current;
    if (box && box.scrollHeight - box.scrollTop - box.clientHeight < 120) box.scrollTop = box.scrollHeight;
  }, [last, turns.length]);
  const leave = () => {
    const chosen = text.trim();
    if (chosen !== (model ?? '')) choose(chosen || undefined);
  };
  return (
    <Paper
      component="section"
      withBorder
      p="sm"
      bg="var(--lowrank-surface)"
      aria-label={`${sideNames[side]} chat`}
    >
      <Autocomplete
        label={`${sideNames[side]} model`}
        placeholder="An adapter or a base model"
        data={choices}
        value={text}
        onChange={setText}
        onOptionSubmit={(value) => choose(value)}
        onBlur={leave}
        onKeyDown={({ key }) => key === 'Enter' && leave()}
        limit={100}
        maxDropdownHeight={320}
      />
      <div
        ref={log}
        className="chat-log"
        role="log"
        aria-label={`Conversation with ${model ?? 'no model'}`}
        aria-busy={isBusy}
        tabIndex={0}
      >
        {turns.length === 0 ? (
          <EmptyState icon="chat" title={model === undefined ? 'Choose a model' : 'Ask something'}>
            {model === undefined
              ? 'With one model alone you have one chat.'
              : 'A model that is not in memory yet takes a moment for its first answer.'}
          </EmptyState>
        ) : (
          turns.map(({ id, prompt, answers }) => (
            <div key={id}>
              <div className="chat-message is-mine">{prompt}</div>
              <Said answer={answers[side]} />
            </div>
          ))
        )}
      </div>
    </Paper>
  );
}

function Said({ answer }: { answer: Answer | undefined }) {
  if (answer === undefined)
    return (
      <Text size="xs" c="dimmed" my="xs">
        No model was chosen here.
      </Text>
    );
  const { text, state, model, error, tokens, seconds, finish } = answer;
  return (
    <div className="chat-message">
      {state === 'waiting' && <Loader size="xs" type="dots" aria-label="Waiting for the answer" />}
      {text}
      {state === 'failed' && (
        <Text size="sm" c="var(--mantine-color-error)" role="alert">
          {error instanceof Error ? error.message : String(error)}
        </Text>
      )}
      <Text size="xs" c="dimmed" mt={4} component="div">
        {model}
        {tokens !== undefined && ` · ${formatCount(tokens)} tokens`}
        {tokens !== undefined &&
          seconds !== undefined &&
          seconds > 0.05 &&
          ` · ${Math.round(tokens / seconds)}/s`}
        {finish === 'length' && ' · cut at the most tokens'}
        {state === 'stopped' && ' · stopped'}
      </Text>
    </div>
  );
}

interface ComposerProps {
  isBusy: boolean;
  canSend: boolean;
  send: (prompt: string) => void;
  stop: () => void;
}

function Composer({ isBusy, canSend, send, stop }: ComposerProps) {
  const [text, setText] = useState('');
  const go = () => {
    if (isBusy || !canSend || text.trim() === '') return;
    send(text.trim());
    setText('');
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Escape' && isBusy) stop();
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    go();
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        go();
      }}
    >
      <Group align="end" gap="xs" wrap="nowrap">
        <TextArea
          label="Your message, to both"
          rows={2}
          value={text}
          onChange={({ currentTarget: { value } }) => setText(value)}
          onKeyDown={onKeyDown}
          style={{ flex: 1 }}
        />
        {isBusy ? (
          <Button color="red" onClick={stop} leftSection={<Icon name="stop" size={15} />}>
            Stop
          </Button>
        ) : (
          <Button type="submit" disabled={!canSend || text.trim() === ''}>
            Send
          </Button>
        )}
      </Group>
      <Text size="xs" c="dimmed" mt={4} visibleFrom="sm">
        <Kbd size="xs">Enter</Kbd> sends, <Kbd size="xs">Shift</Kbd> + <Kbd size="xs">Enter</Kbd> begins a
        line, <Kbd size="xs">Esc</Kbd> stops.
      </Text>
    </form>
  );
}
