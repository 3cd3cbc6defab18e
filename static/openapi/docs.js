"use strict";
// Starts Swagger UI. What it sends with a login carries the CSRF token that Django asks for.

const place = document.getElementById("document");

const csrfToken = () => (/(?:^|; )csrftoken=([^;]+)/.exec(document.cookie) || [])[1];

SwaggerUIBundle({
  domNode: place,
  url: place.dataset.openapi,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  persistAuthorization: false,
  validatorUrl: null,
  requestInterceptor: (request) => {
    const token = csrfToken();
    if (token && new URL(request.url, location.href).origin === location.origin) {
      request.headers["X-CSRFToken"] = token;
    }
    return request;
  },
});
