// Starts Swagger UI. A file of its own, because the page's Content-Security-Policy runs no inline scripts.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#documentation",
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  tryItOutEnabled: true,
  persistAuthorization: false, // a key that stays in the browser is a key that leaks
  validatorUrl: null, // the usual one would send the document to strangers
});
