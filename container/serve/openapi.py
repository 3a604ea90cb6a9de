"""What the server takes and answers, for people and tools: the OpenAPI 3.1 document at /openapi.json.

The models describe this project's handler functions; a model that brings its own answers as it likes. tests/contract
holds a running server to the document.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from container.serve.model_routes import LONGEST_PAGE, Load
from container.serve.settings import Settings

REF = "#/components/schemas/{model}"
LINES = "A row of the answer for each line, an error in the place of a bad one. Over 1 MB: answered as it goes."
# One black dot on white: the smallest picture with ink
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAEAQAAAACBiqPTAAAAEElEQVR42mP4wCzBxMDwAQAIGgH+XZ/zJAAAAABJRU5ErkJggg=="


class Prediction(BaseModel):
    """What one picture shows."""

    latex: str
    tokens: list[str]
    confidence: float = Field(ge=0, le=1, description="probability that the network gives to the whole sequence")
    truncated: bool = Field(description="no end was found, or the answer went round in a loop")
    model_version: str
    repaired: bool = Field(description=r"a brace, \left or \begin lacked its partner")
    blank: bool = Field(description="the picture has no ink, and the answer is empty")
    turned: Literal[0, 90, 270] = Field(description="degrees clockwise by which the picture was turned to be read")


class Reason(BaseModel):
    code: str = Field(description="stable, for programs", pattern="^[a-z0-9_]+$")
    message: str = Field(description="for people")


class Error(BaseModel):
    """A refusal, or the row of a picture that can't be recognized."""

    error: Reason


class Predictions(BaseModel):
    """The rows of many pictures, in their order."""

    predictions: list[Prediction | Error]


class Picture(BaseModel):
    image: str = Field(description="a picture file as base64, or as a data URL", examples=[DOT])


class Pictures(BaseModel):
    images: list[Any] = Field(min_length=1, description="each base64 or {image}; another gets an error as its row")


class Instances(BaseModel):
    instances: list[Any] = Field(min_length=1, description="as `images`")


class ExecutionParameters(BaseModel):
    """What batch transform asks for."""

    MaxConcurrentTransforms: int = Field(ge=1)
    BatchStrategy: Literal["MULTI_RECORD"]
    MaxPayloadInMB: int = Field(ge=1, le=100)


class LoadedModel(BaseModel):
    modelName: str  # noqa: N815  (SageMaker's names)
    modelUrl: str  # noqa: N815


class LoadedModels(BaseModel):
    """A page of the list."""

    models: list[LoadedModel]
    nextPageToken: str = Field("", description="if there are more: `next_page_token` of the next page")  # noqa: N815


MODELS = (
    Load,
    LoadedModel,
    LoadedModels,
    Prediction,
    Error,
    Predictions,
    Picture,
    Pictures,
    Instances,
    ExecutionParameters,
)
REFUSALS = {
    400: "The body can't be read; the code says why.",
    406: "`Accept` names no type that can be given.",
    408: "The body stopped arriving.",
    413: "The body, or the picture in it, is too large.",
    415: "A body of this type isn't taken.",
    500: "The model failed for every picture.",
}


def document(settings: Settings) -> dict[str, Any]:
    """The document of a server with these settings."""
    _, schemas = models_json_schema([(model, "serialization") for model in MODELS], ref_template=REF)
    paths: dict[str, Any] = {
        "/ping": {"get": {**_get("Whether every request will be answered", {"description": "Yes."}), "security": []}},
        **(_multi_model_paths(settings) if settings.multi_model else _single_model_paths(settings)),
        "/openapi.json": {
            "get": _get("This document", _content("OpenAPI 3.1.", "application/json", {"type": "object"}))
        },
    }
    paths["/ping"]["get"]["responses"]["503"] = _unavailable()
    if settings.shows_metrics:
        paths["/metrics"] = {"get": _get("For Prometheus", _content("Text format.", "text/plain", {"type": "string"}))}
    components: dict[str, Any] = {"schemas": schemas["$defs"]}
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Formula recognizer", "version": "1", "description": "Picture of a formula -> LaTeX"},
        "paths": paths,
        "components": components,
    }
    if settings.api_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"key": []}]
        for operations in paths.values():
            for operation in (each for name, each in operations.items() if name != "parameters"):
                if "security" not in operation:
                    operation["responses"]["401"] = _json("The key is missing or wrong.", "Error")
    return described


def _single_model_paths(settings: Settings) -> dict[str, Any]:
    return {
        "/invocations": {"post": _invocations(settings)},
        "/execution-parameters": {"get": _get("For batch transform", _json("Limits.", "ExecutionParameters"))},
    }


def _multi_model_paths(settings: Settings) -> dict[str, Any]:
    name = _parameter("name", "path", {"type": "string", "minLength": 1}, required=True)
    limit = _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE})
    token = _parameter("next_page_token", "query", {"type": "string"})
    one, missing = _json("The model.", "LoadedModel"), {"404": _json("No such model is loaded.", "Error")}
    invoke = _invocations(settings)
    load = {
        "summary": "Load a model",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("Load")}}},
        "responses": {
            "200": one,
            "400": _json("The body, the url or the model can't be used; the code says why.", "Error"),
            "404": _json("There is no model at the url.", "Error"),
            "409": _json("A model of this name is loaded, or being loaded.", "Error"),
            "413": _json("The body is too large.", "Error"),
            "503": _unavailable(),
            "507": _json("There is no room in memory. Nothing was unloaded.", "Error"),
        },
    }
    listed = _get("Loaded models by name", _json("A page of them.", "LoadedModels"))
    listed["responses"]["400"] = _json("The limit is none.", "Error")
    return {
        "/models": {"post": load, "get": {**listed, "parameters": [limit, token]}},
        "/models/{name}": {
            "parameters": [name],
            "get": {"summary": "One loaded model", "responses": {"200": one, **missing}},
            "delete": {"summary": "Unload a model", "responses": {"200": one, **missing}},
        },
        "/models/{name}/invoke": {
            "parameters": [name],
            "post": {**invoke, "responses": {**invoke["responses"], **missing}},
        },
    }


def _parameter(name: str, place: str, schema: dict[str, Any], required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "schema": schema}


def _invocations(settings: Settings) -> dict[str, Any]:
    base64 = {"type": "array", "items": {}, "minItems": 1}
    bodies: dict[str, Any] = {
        kind: {"schema": {"type": "string", "format": "binary", "maxLength": settings.max_payload_mb * 1024 * 1024}}
        for kind in ("image/png", "image/jpeg", "application/x-image", "application/octet-stream")
    }
    bodies["application/json"] = {"schema": {"anyOf": [*map(_ref, ("Picture", "Pictures", "Instances")), base64]}}
    # No type: whatever a line is, it gets a row.
    bodies["application/jsonlines"] = {"schema": {"description": f'{{"image": BASE64}} on each line. {LINES}'}}
    bodies["text/csv"] = {"schema": {"description": f"A column of base64, no header. {LINES}"}}
    files = {"type": "object", "required": ["image"], "properties": {"image": {"type": "string", "format": "binary"}}}
    bodies["multipart/form-data"] = {"schema": files}
    answers = {
        "application/json": {"schema": {"anyOf": [_ref("Prediction"), _ref("Predictions")]}},
        **{kind: {"schema": {"type": "string"}} for kind in ("application/jsonlines", "text/csv", "text/plain")},
    }
    refusals = {str(status): _json(text, "Error") for status, text in REFUSALS.items()}
    turn = {"type": "string", "enum": ["auto", "off"], "default": "auto"}
    views = {"type": "integer", "minimum": 1, "maximum": 4, "default": 4}
    return {
        "summary": "Recognize one picture or many",
        "parameters": [
            {
                "name": "turn",
                "in": "query",
                "description": "auto also tries a tall picture as one that lies on its side",
                "schema": turn,
            },
            {
                "name": "views",
                "in": "query",
                "description": "sizes at which a picture is read whose first reading isn't sure",
                "schema": views,
            },
        ],
        "requestBody": {"required": True, "content": bodies},
        "responses": {
            "200": {"description": "As `Accept` asks.", "content": answers},
            **refusals,
            "503": _unavailable(),
        },
    }


def _get(summary: str, answer: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": answer}}


def _unavailable() -> dict[str, Any]:
    retry = {"description": "seconds", "required": True, "schema": {"type": "integer", "minimum": 1}}
    return {
        **_json("Not now: not ready, overloaded, too late, or stopping.", "Error"),
        "headers": {"Retry-After": retry},
    }


def _json(description: str, model: str) -> dict[str, Any]:
    return _content(description, "application/json", _ref(model))


def _content(description: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": schema}}}


def _ref(model: str) -> dict[str, str]:
    return {"$ref": REF.format(model=model)}
