-- The schema of the roadmap (section 3.1): thirteen columns, and nothing else.
CREATE TABLE instance_configs (
    id INTEGER PRIMARY KEY,
    name VARCHAR UNIQUE NOT NULL,
    evolution_url VARCHAR NOT NULL,
    evolution_key VARCHAR NOT NULL,
    whatsapp_instance VARCHAR NOT NULL,
    session_id_prefix VARCHAR,
    agent_api_url VARCHAR NOT NULL,
    agent_api_key VARCHAR NOT NULL,
    default_agent VARCHAR NOT NULL,
    agent_timeout INTEGER DEFAULT 60,
    is_default BOOLEAN DEFAULT FALSE,
    created_at DATETIME,
    updated_at DATETIME
);
INSERT INTO instance_configs VALUES
    (1, 'default', 'http://localhost:8080', 'planted-evolution-one', 'flashinho', 'dev-', 'http://localhost:38881',
     'planted-agent-one', 'flashinho_pro', 60, TRUE, '2025-06-19 10:00:00', '2025-06-19 10:00:00'),
    (2, 'flashinho_v2', 'http://localhost:4040', 'planted-evolution-two', 'flashinho_v2', 'flashinho_v2-',
     'http://localhost:38881', 'planted-agent-two', 'flashinho_pro', 600, FALSE, '2025-06-20 10:00:00', NULL);
