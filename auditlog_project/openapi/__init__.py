"""The OpenAPI 3.1 document of the REST API, and the page that shows it.

    operations.py   one operation: what a view's own description leaves out, above all every refusal
    document.py     the whole document; a schema with a `title` becomes a component
    views.py        /api/v1/openapi.json, /api/v1/openapi.yaml, /api/v1/docs

To bring in a view of another app:
    1. `@extend_schema(operation_id=…, summary=…, tags=[…], request=…, responses=…)` on each method, with plain JSON
       Schemas (activity/api/shapes.py shows how); its docstring is the description. A schema that has a `title`
       is written once, as a component, wherever it stands.
    2. `raises = {"GET": (SomeError, …)}` on the view: the errors of its own. Status and code come from the table in
       api_errors.py, which also has a meaning for each code; what every view can answer (401, 403, 406, 415, 429, 500,
       …) is added here.
    3. `./auditlog test tests/architecture/test_openapi.py`: it says what is missing, and how to update
       docs/openapi-v1.json. tests/acceptance/test_schemathesis.py then asks the new operations by itself.
"""
