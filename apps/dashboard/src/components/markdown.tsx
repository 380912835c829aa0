import './markdown.css';
import { Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';

/**
 * Markdown that somebody wrote, with GitHub's tables. micromark escapes HTML and drops links of other protocols than http(s), mailto and the
 * like (its safe mode, which is the default), so that its output holds no markup but its own; the Content-Security-Policy stands behind it.
 * Its code comes when something is to be shown.
 */
export function Markdown({ label, text }: { label: string; text: string }) {
  const renderer = useQuery({
    queryKey: ['markdown renderer'],
    queryFn: () => import('../lib/markdown'),
    staleTime: Infinity,
  });
  if (renderer.data === undefined)
    return (
      <Text component="pre" className="code" size="sm">
        {text}
      </Text>
    );
  return (
    <div
      className="markdown"
      // Wide tables scroll.
      tabIndex={0}
      role="region"
      aria-label={label}
      dangerouslySetInnerHTML={{ __html: renderer.data.toHtml(text) }}
    />
  );
}
