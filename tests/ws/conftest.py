from tests.http_api.conftest import api, bridge, shared_api, shared_bridge, shared_broker, start_api, start_bridge

__all__ = ["api", "bridge", "shared_api", "shared_bridge", "shared_broker", "start_api", "start_bridge"]
