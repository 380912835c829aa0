/** Colours of lines, told apart by people who see few colours too, on light and on dark: after Okabe and Ito (2008), the first a lighter blue. */
export const lineColors = [
  '#1f87d1',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#56b4e9',
  '#e69f00',
  '#8c6d31',
  '#7f7f7f',
] as const;
export const lineColor = (index: number): string => lineColors[index % lineColors.length] as string;
