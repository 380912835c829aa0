/** See mantine-styles.mjs. */
declare module 'virtual:mantine-styles';
