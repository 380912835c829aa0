import { micromark } from 'micromark';
import { gfmTable, gfmTableHtml } from 'micromark-extension-gfm-table';

/** HTML of a text in Markdown, with GitHub's tables. HTML in it is escaped, and links are of harmless protocols only. */
export const toHtml = (text: string): string =>
  // The page has its own first-order heading.
  micromark(text, { extensions: [gfmTable()], htmlExtensions: [gfmTableHtml()] })
    .replace(
      /<(\/?)h([1-5])>/g,
      (_tag, slash: string, level: string) => `<${slash}h${Math.min(6, Number(level) + 2)}>`,
    )
    // Long lines of code scroll, by the keyboard too.
    .replace(/<pre>/g, '<pre tabindex="0">');
