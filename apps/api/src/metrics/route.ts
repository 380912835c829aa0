/** Where Prometheus looks; named apart from its controller, since the door keeper of all routes needs it too. */
export const metricsRoute = '/metrics';
