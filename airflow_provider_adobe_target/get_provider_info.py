"""Provider metadata for Airflow's provider discovery.

Every Airflow process calls this, some of them before the configuration is loaded. Do not import Airflow here.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_adobe_target import __version__, connection_form

_INTEGRATION = "Adobe Target"


def get_provider_info() -> dict[str, Any]:
    """Return the provider metadata in the format of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-adobe-target",
        "name": _INTEGRATION,
        "description": (
            "`Adobe Target <https://business.adobe.com/products/target.html>`__: bulk profile updates from a "
            "warehouse, with verified outcomes."
        ),
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://experienceleague.adobe.com/en/docs/target",
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {
                "connection-type": connection_form.CONNECTION_TYPE,
                "hook-name": connection_form.HOOK_NAME,
                "hook-class-name": "airflow_provider_adobe_target.hooks.adobe_target.AdobeTargetHook",
                "ui-field-behaviour": connection_form.ui_field_behaviour_metadata(),
                "conn-fields": connection_form.conn_fields(),
            }
        ],
        "config": {
            "adobe_target": {
                "description": "Settings of the page of Adobe Target in Airflow's web interface.",
                "options": {
                    "sync_log": {
                        "description": (
                            "Sync log that the page shows: the ID of an Airflow connection to a database, or a folder. "
                            "Default: ``sync_log`` of the connection ``adobe_target_default``."
                        ),
                        "version_added": __version__,
                        "type": "string",
                        "example": "warehouse",
                        "default": "",
                    }
                },
            }
        },
        "operators": _modules("operators"),
        "sensors": _modules("sensors"),
        "hooks": _modules("hooks"),
        "triggers": _modules("triggers"),
        "asset-uris": [_asset_uris()],
        "dataset-uris": [_asset_uris()],  # their name in Airflow 2
        "extra-links": [
            "airflow_provider_adobe_target.links.adobe_target.TaskRunLink",
            "airflow_provider_adobe_target.links.adobe_target.BatchStatusLink",
            "airflow_provider_adobe_target.links.adobe_target.ActivitiesLink",
        ],
        "notifications": ["airflow_provider_adobe_target.notifications.adobe_target.AdobeTargetNotifier"],
        "task-decorators": [
            {
                "name": "bulk_profile_update",
                "class-name": "airflow_provider_adobe_target.decorators.adobe_target.bulk_profile_update_task",
            }
        ],
    }


def _modules(layer: str) -> list[dict[str, Any]]:
    return [
        {
            "integration-name": _INTEGRATION,
            "python-modules": [f"airflow_provider_adobe_target.{layer}.adobe_target"],
        }
    ]


def _asset_uris() -> dict[str, Any]:
    module = "airflow_provider_adobe_target.assets.adobe_target"
    return {
        "schemes": ["adobetarget"],
        "handler": f"{module}.sanitize_uri",
        "factory": f"{module}.create_asset",
        "to_openlineage_converter": f"{module}.convert_asset_to_openlineage",
    }
