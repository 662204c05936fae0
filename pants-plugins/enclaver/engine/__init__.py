"""Every call into the Pants engine, as plain ``async`` helpers.

Pants up to 2.31 has ``Get``; from 2.32 on there are only calls by name. The two modules here hold helpers of the
same names, one in each style; the rule parser follows whichever is chosen, so that all rules have one source.
"""

import pants.engine.rules

if hasattr(pants.engine.rules, "Get"):
    from enclaver.engine.by_get import (
        add_prefix,
        all_targets,
        built_package,
        create_digest,
        digest_contents,
        digest_entries,
        environment_variables,
        globbed_files,
        hydrated_sources,
        merge_digests,
        package_field_sets,
        remove_prefix,
        resolved_addresses,
        resolved_targets,
        run_venv_pexes,
        venv_pex,
        workspace_venv_pex,
    )
else:
    from enclaver.engine.by_name import (
        add_prefix,
        all_targets,
        built_package,
        create_digest,
        digest_contents,
        digest_entries,
        environment_variables,
        globbed_files,
        hydrated_sources,
        merge_digests,
        package_field_sets,
        remove_prefix,
        resolved_addresses,
        resolved_targets,
        run_venv_pexes,
        venv_pex,
        workspace_venv_pex,
    )

__all__ = [
    "add_prefix",
    "all_targets",
    "built_package",
    "create_digest",
    "digest_contents",
    "digest_entries",
    "environment_variables",
    "globbed_files",
    "hydrated_sources",
    "merge_digests",
    "package_field_sets",
    "remove_prefix",
    "resolved_addresses",
    "resolved_targets",
    "run_venv_pexes",
    "venv_pex",
    "workspace_venv_pex",
]
