/** Where links to files lead; named apart from its controller, since the door keeper of all routes needs it too. */
export const downloadPath = '/downloads';
export const downloadRoute = `${downloadPath}/:sha256/:path`;
