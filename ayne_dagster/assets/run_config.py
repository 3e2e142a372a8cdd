"""What a run's configuration may say to an asset, and how it is read. What each asset takes is said where it stands.

Dagster reads a number of a `dg.Config` from an environment variable where the launcher of a run writes `{env: NAME}`:
a variable of the launcher's choice, which then goes into a request, or into an error. So the fields are declared here
as plain values, and every number has bounds.
"""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, Self, get_args, get_origin

import dagster as dg
from pydantic import ConfigDict, ValidationError


class RunConfig(dg.Config):
    """Base of the assets' configurations: numbers, switches, and lists of numbers; no texts, so no names or places.

    An asset declares it by `config_schema=SomeConfig.schema_for_runs()`, and reads it by `SomeConfig.of(context)`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def schema_for_runs(cls) -> dict[str, dg.Field]:
        """The fields, each optional, as Dagster's plain types.

        Raises:
            TypeError: a field is of a type that a run must not set.
        """
        return {
            name: dg.Field(
                _plain(field.annotation),
                is_required=False,
                default_value=field.get_default(call_default_factory=True),
                description=field.description,
            )
            for name, field in cls.model_fields.items()
        }

    @classmethod
    def of(cls, context: dg.AssetExecutionContext) -> Self:
        """The configuration of the step.

        Raises:
            dagster.Failure: a value is out of bounds; says which.
        """
        try:
            return cls(**context.op_execution_context.op_config)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
            raise dg.Failure(
                f"The run's configuration cannot be used ({wrong}). Nothing was asked or changed.", allow_retries=False
            ) from None


def _plain(annotation: Any) -> Any:
    """Dagster's type for a Python type: one that takes values, and no `{env: NAME}`."""
    if annotation is bool:
        return dg.Bool
    if annotation is int:
        return dg.Int
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _plain(arguments[0])
    if get_origin(annotation) is list:
        return dg.Array(_plain(arguments[0]))
    others = [argument for argument in arguments if argument is not NoneType]
    if len(others) == 1 and NoneType in arguments:
        return dg.Noneable(_plain(others[0]))
    raise TypeError(f"{annotation} is no type of a run's configuration.")
