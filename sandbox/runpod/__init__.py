"""RunPod: GPU types at fixed prices with stock by data centre; REST v2 for pods, GraphQL as the keyless price list."""
